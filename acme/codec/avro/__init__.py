"""Events as Avro: schemas that follow from contracts, and codecs between messages and Avro in Confluent's wire format.

    avro = Avro(contracts)                       # reads what is released of them; refuses what is not
    avro.encoder(message)(ProjectCreated(…))     → 00 ‖ int32 id ‖ Avro
    avro.decode(payload)                         → ProjectCreated(…), whichever version wrote it

A contract is the source; each schema that ever followed from an event is kept beside the generated classes, with the id by
which the payload names it:

    schemas.lock                                 subject, version, id, hashes: a line a schema
    schemas/TOPIC-MESSAGE/1.avsc                 the schema
    schemas/TOPIC-MESSAGE/1.golden               examples in its bytes, from the day that it was made

`python -m acme.codegen` adds a version when an event has changed, and refuses a change that an older or newer reader could
not follow (Confluent calls it FULL_TRANSITIVE). None is ever changed or removed. An id is made of the schema alone, so the
same in every region, without a registry that gives them out.

- `schema.py`: message → schema, and its id · `released.py`: the lock and the files · `compatible.py`: what separates two
  versions · `golden.py`: examples · `generate.py`: what belongs into the folder.
- `builder.py`: message ⇄ what fastavro writes and reads · `depth.py`: what fastavro must not read · `events.py`: `Avro`.
- `upcasting.py`: what a plugin says about changes that defaults cannot express.
"""

from acme.codec.avro.events import Avro, Undecodable, UnknownSchema
from acme.codec.avro.released import Released, Version
from acme.codec.avro.upcasting import Upcaster

__all__ = ["Avro", "Released", "Undecodable", "UnknownSchema", "Upcaster", "Version"]
