"""Adds the reports to Airflow's UI, and tells remote work of tasks that somebody marks."""

from airflow.plugins_manager import AirflowPlugin

from infra.airflow import listener
from infra.airflow.pages import DATA_DOCS, PREFIX, reports_app


class LakehousePlugin(AirflowPlugin):
    name = "lakehouse"
    listeners = [listener]  # noqa: RUF012
    fastapi_apps = [{"app": reports_app(), "url_prefix": PREFIX, "name": "Lakehouse reports"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {"name": "Data Docs", "href": f"{DATA_DOCS}/index.html", "destination": "nav", "url_route": "data-docs"}
    ]
