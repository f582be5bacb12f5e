"""Models of the catalogue, documents, model services, tools, personas and recorded videos."""

from avatars.models.accounts import ProviderAccount
from avatars.models.catalogue import MAX_NAME_CHARACTERS, Avatar, CatalogueEntry, KnowledgeBase, News, Voice, with_news
from avatars.models.documents import (
    Chunk,
    Document,
    DocumentVersion,
    Library,
    LibraryWord,
    UnansweredQuestion,
    WrittenAnswer,
)
from avatars.models.knowledge import KnowledgeVersion
from avatars.models.model_services import HttpTool, HttpToolVersion, ModelService
from avatars.models.persona_tests import PersonaTest, PersonaTestRun
from avatars.models.personas import BuiltInTool, Persona, PersonaCheck, PersonaContent, PersonaQuerySet, PersonaVersion
from avatars.models.syncs import CatalogueSync
from avatars.models.videos import Video

__all__ = [
    "MAX_NAME_CHARACTERS",
    "Avatar",
    "BuiltInTool",
    "CatalogueEntry",
    "CatalogueSync",
    "Chunk",
    "Document",
    "DocumentVersion",
    "HttpTool",
    "HttpToolVersion",
    "KnowledgeBase",
    "KnowledgeVersion",
    "Library",
    "LibraryWord",
    "ModelService",
    "News",
    "Persona",
    "PersonaCheck",
    "PersonaContent",
    "PersonaQuerySet",
    "PersonaTest",
    "PersonaTestRun",
    "PersonaVersion",
    "ProviderAccount",
    "UnansweredQuestion",
    "Video",
    "Voice",
    "WrittenAnswer",
    "with_news",
]
