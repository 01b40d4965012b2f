"""Adds our pages to Airflow's UI, and tells remote work of tasks that somebody marks."""

from airflow.plugins_manager import AirflowPlugin

from infra.airflow import listener, overview, pages
from lakehouse.settings import load_settings

_SETTINGS = load_settings()


class LakehousePlugin(AirflowPlugin):
    name = "lakehouse"
    listeners = [listener]  # noqa: RUF012
    fastapi_apps = [  # noqa: RUF012
        {"app": pages.reports_app(), "url_prefix": pages.PREFIX, "name": "Lakehouse reports"},
        {"app": overview.overview_app(), "url_prefix": overview.PREFIX, "name": "Lakehouse"},
    ]
    # Those with a route are shown within Airflow's page. The engines' own pages, which refuse that, open beside it.
    external_views = [  # noqa: RUF012
        {
            "name": "Lakehouse",
            "href": f"{overview.PREFIX}/",
            "destination": "nav",
            "url_route": "lakehouse",
            "nav_top_level": True,
        },
        {"name": "Explain", "href": f"{overview.PREFIX}/explain", "destination": "nav", "url_route": "explain"},
        {"name": "Data Docs", "href": f"{pages.DATA_DOCS}/index.html", "destination": "nav", "url_route": "data-docs"},
        {"name": "Flink", "href": overview.flink_url(_SETTINGS), "destination": "nav"},
        {"name": "Spark", "href": overview.spark_url(_SETTINGS), "destination": "nav"},
    ]
