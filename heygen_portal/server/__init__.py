"""The HTTP and WebSocket server: Daphne with bounds on what strangers may send and on how slowly they may read.

`python -m heygen_portal.server` takes Daphne's own options. Daphne reads each request whole, parses form submissions
in memory and writes without looking at whether the client reads; here every size, time and queue has a limit.
"""
