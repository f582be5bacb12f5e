"""The HTTP and WebSocket server: Daphne with limits for sizes and slow clients.

`python -m heygen_portal.server` takes Daphne's options. Daphne itself reads each request whole, parses forms in memory
and writes regardless of whether the client reads.
"""
