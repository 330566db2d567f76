"""The command `acme`: arguments → runtime. The only floor that prints.

`app.py` declares the commands and turns every failure into one line and an exit code; `up.py` says what `acme up` prints;
`mailbox.py` how mails are shown. Answers go to stdout, logs and errors to stderr. A command imports what it needs when it
is called, so that `acme --help` does not load the platform. `options.py` holds what they share.
`config.py` looks at settings and has them read again; `split.py` starts platforms of several processes.

For operators: `events.py` declares `acme events …`, `event_views.py` says how it looks; `commands.py` runs the commands that
plugins bring; both visit a platform by `visits.py`.

For authors: `plugin.py` declares `acme plugin …`; `scaffold.py` makes a plugin of the files in `template/`, `plugins.py`
lists, `distribution.py` finds the one a command is about, `trials.py` runs its tests, `drift.py` looks at generated code.

Exit codes: 0 done · 1 it could not be done, and stderr says why · 2 wrong arguments · 130 interrupted.
"""

from acme.cli.app import main

__all__ = ["main"]
