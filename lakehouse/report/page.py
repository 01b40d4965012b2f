"""Self-contained HTML pages: templates beside a package, one style sheet, nothing loaded from elsewhere."""

from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lakehouse.escaping import escaped

_OWN_TEMPLATES: Final = Path(__file__).parent / "templates"


def render_page(templates: Path, template: str, **values: Any) -> str:
    """Renders `template` of the folder `templates`; values are escaped, control characters so that they can be seen.

    A template may extend ``page.html.j2``, the frame of a page; `style` is the common style sheet.
    """
    loader = FileSystemLoader([templates, _OWN_TEMPLATES])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_visible
    )
    style = (_OWN_TEMPLATES / "style.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(style=style, **values)


def _visible(value: Any) -> Any:
    return escaped(value) if type(value) is str else value  # markup is a subclass, and stays markup
