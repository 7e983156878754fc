"""Who may call a service, over what kind of connection, and how often: the same for both services.

    settings.py      the options, as both services have them
    roles.py         method → roles that open it, read from the protos
    clients.py       the clients of a file: tokens, certificates, roles
    jwt_tokens.py    tokens that somebody else signed, by a file of public keys
    access.py        token → client → may it call this method
    throttle.py      how often and how much at once, per client
    guard.py         the three above around a call
    certificates.py  the server's side of TLS
    channels.py      the client's side of TLS
    bearer.py        the token that a client sends
    files.py         files that are read again when they change
    exposure.py      what to tell about a server that is open
    logged.py        what a log may say of an exception

Owns no secret longer than it must: tokens are kept as digests where they are compared. Must never log one. Read
``docs/security.md`` for what is defended against what.
"""
