"""Settings, from the environment through `env`. A fresh checkout runs with none set."""

import dj_database_url
from django.utils.translation import gettext_lazy as _

from heygen_portal import admin_theme
from heygen_portal.env import BASE_DIR, env, secret

VAR = env.path("VAR_DIR", BASE_DIR / "var")
VAR.mkdir(parents=True, exist_ok=True)  # a database cannot make its own folder

DEBUG = env.bool("DEBUG", False)
# Without a key of its own a checkout may be looked at, but not served to others: see checks.py.
SECRET_KEY = secret("DJANGO_SECRET_KEY", "not-secret-for-looking-around-only")
SALT_KEY = secret("FIELD_ENCRYPTION_KEY", "not-secret-either")
SECRET_KEY_FALLBACKS: list[str] = env.list("DJANGO_SECRET_KEY_FALLBACKS", [])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [])

INSTALLED_APPS = [
    "daphne",
    "unfold.apps.BasicAppConfig",  # the look of the admin, without a site of its own
    "unfold.contrib.filters",
    "heygen_portal.admin_app.PortalAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "csp",
    "axes",
    "heygen_portal",
    "avatars",
    "sessions",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "heygen_portal.csp.PortalCSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # Deny by default: a view that strangers may see says so with @login_not_required.
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "heygen_portal.urls"
ASGI_APPLICATION = "heygen_portal.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# What is stored

DATABASES = {
    "default": dj_database_url.parse(
        env.str("DATABASE_URL", f"sqlite:///{VAR}/db.sqlite3"),
        # Each thread keeps its connection; opening one costs more than most queries.
        conn_max_age=600,
        conn_health_checks=True,
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,  # seconds a writer waits for its turn
        # A transaction that means to write takes the lock at once: upgrading a read lock later can only fail.
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=20000;",
    }
    # A file, as in earnest: threads share it, which they cannot do with one in memory.
    DATABASES["default"]["TEST"] = {"NAME": VAR / "test.sqlite3"}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MEDIA_ROOT = VAR / "media"

# Where the nightly check of the record writes what the seals were; best where the database's owner cannot write.
HISTORY_ANCHOR_FILE = env.str("HISTORY_ANCHOR_FILE", "")

# Broker, channel layer, cache

REDIS_URL = env.str("REDIS_URL", "redis://127.0.0.1:8379/0")
CHANNEL_LAYERS = {
    "default": {
        # Messages to a tab are worth nothing to a tab that is not there: publish/subscribe, nothing stored.
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_connect_timeout": 3}]},
    }
}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"

# Our own LiveKit, for the accounts that use it; the public address is the one for browsers and avatars.

LIVEKIT_URL = env.str("LIVEKIT_URL", "")
LIVEKIT_PUBLIC_URL = env.str("LIVEKIT_PUBLIC_URL", "") or LIVEKIT_URL
LIVEKIT_API_KEY = env.str("LIVEKIT_API_KEY", "")
LIVEKIT_API_SECRET = secret("LIVEKIT_API_SECRET")

# The provider of a first run

EMULATOR_URL = env.str("EMULATOR_URL", "")
EMULATOR_API_KEY = secret("EMULATOR_API_KEY")

# Who is there

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_ENABLE_ACCESS_FAILURE_LOG = False
AXES_ENABLE_ADMIN = False  # `manage.py axes_reset` lets somebody in again
AXES_VERBOSE = False
# daphne: the address is the socket's; behind a proxy it is the header that the proxy sets.
PROXY_COUNT = env.int("PROXY_COUNT", 0)
AXES_CLIENT_IP_CALLABLE = "heygen_portal.addresses.of"

# Languages

LANGUAGE_CODE = "es"
LANGUAGES = [("es", _("Spanish")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale", BASE_DIR / "locale_theme"]
TIME_ZONE = env.str("TIME_ZONE", "UTC")
USE_TZ = True

# Pages

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Filled by bin/setup, and by `manage.py collectstatic` elsewhere. Belongs to the code, not to the data in VAR_DIR.
STATIC_ROOT = BASE_DIR / "var" / "static"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "heygen_portal.static_files.PortalStaticFilesStorage"},
}
_LIVEKIT_SOURCES = [LIVEKIT_PUBLIC_URL, LIVEKIT_PUBLIC_URL.replace("ws", "http", 1)] if LIVEKIT_PUBLIC_URL else []
# Where HeyGen keeps its rooms; a picture must not depend on a setting that nobody knows of.
_HEYGEN_ROOMS = ["https://*.livekit.cloud", "wss://*.livekit.cloud"]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "connect-src": ["'self'", *_LIVEKIT_SOURCES, *_HEYGEN_ROOMS, *env.list("CSP_CONNECT_SRC", [])],
        "img-src": ["'self'", "data:"],
        "media-src": ["'self'", "blob:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}

UNFOLD = admin_theme.UNFOLD

# Safe defaults; behind HTTPS set HTTPS=1

HTTPS = env.bool("HTTPS", False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
CSRF_COOKIE_HTTPONLY = True  # forms carry the token themselves
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", "INFO")},
    # One line a call, and two a tick each second, bury the lines that matter.
    "loggers": {
        name: {"level": "WARNING"}
        for name in ("axes", "httpx", "httpcore", "celery.worker.strategy", "celery.app.trace", "celery.beat")
    },
}
