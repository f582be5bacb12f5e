"""The router of all operations about sessions: several modules have methods of the same paths."""

from ninja import Router

router = Router()
