from django.contrib.admin.apps import AdminConfig


class PortalAdminConfig(AdminConfig):
    default_site = "heygen_portal.console.site.PortalAdminSite"
