from heygen_portal.api import assembly

app_name = "api"
urlpatterns = assembly.urlpatterns()
