"""Outgoing webhooks: signed messages to the organisation's own systems when something happens."""
