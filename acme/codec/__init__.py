"""Codecs between messages, JSON and the protobuf wire, and the rules: compiled for each message from its contract.

    body ── json.py ──▶ message ── rules.py ──▶ faults
                          │ ▲
                          ▼ │
        wire.py: bytes, or a copy that means the same

Nothing here knows HTTP, gRPC or where a service runs: the gateway uses `json.py`, the dispatch the rest. All is compiled on
first demand, one message at a time; a process pays for the messages it meets.

- `compiler.py`: writes functions and compiles them. The only `exec` of the project.
- `json.py`: the JSON codecs · `json_code.py`: the functions they consist of · `shadow.py`: what msgspec decodes into ·
  `renderer.py`: JSON of messages that have not been anywhere yet · `explain.py`: every fault of a body that the fast path
  refused · `text.py`: values of a path, a query or a header.
- `wire.py`: the protobuf codecs, through upb · `copier.py`: copies that mean a trip over the wire.
- `rules.py`: validation.
- `values.py`: what JSON allows of each type, and conversions of single values.

Faults carry a JSON Pointer (RFC 6901), a code and a sentence that says what is allowed. These are the codes:

    ==============  ==================================================================================  =============
    Code            Says                                                                                From
    ==============  ==================================================================================  =============
    unknown_field   the contract has no such field, or it comes from elsewhere (the path, a header)     explain
    duplicate_key   an object has this key more than once                                               explain
    type            a value of another JSON type than the contract's                                    explain
    range           a number beyond what the type, or the rule minimum or maximum, allows               explain, rules
    format          no RFC 3339 time, duration or base64; or control characters in a line or text       explain, rules
    enum            none of the enum's names                                                            explain
    oneof           more than one member of a oneof                                                     explain
    depth           nested deeper than 64 levels                                                        explain
    nul             the character U+0000                                                                explain
    surrogate       half of a surrogate pair                                                            explain
    not_a_number    NaN or an infinity, which JSON lacks                                                explain
    required        missing or empty                                                                    rules
    min_length      fewer code points than allowed                                                      rules
    max_length      more code points than allowed                                                       rules
    max_bytes       more octets than allowed                                                            rules
    pattern         does not match the regular expression, as a whole                                   rules
    min_items       fewer entries than allowed                                                          rules
    max_items       more entries than allowed                                                           rules
    id              no id of that kind                                                                  rules
    email           no e-mail address                                                                   rules
    ==============  ==================================================================================  =============
"""
