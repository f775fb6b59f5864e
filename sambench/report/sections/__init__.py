"""What draws the tables and figures of reports, one module a section. A section is found by its place; nothing is listed by hand.

A module here, or one that an installed package names under the entry-point group `sambench.report_sections`, has `SECTION`: a
function of a definition and the inputs of the report, which gives a `sambench.report.document.Section`. A definition
(`reports/<id>.toml`) names it by `section`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sambench.errors import PluginError, SambenchError, message_of, unknown_name
from sambench.plugins import Place
from sambench.report.definitions import Definition
from sambench.report.document import Section
from sambench.report.inputs import Inputs

Draw = Callable[[Definition, Inputs], Section]
PLACE = Place(__name__, "sambench.report_sections", "report section")


def draw(definition: Definition, inputs: Inputs) -> Section:
    """The section that a definition names, drawn. Raises UsageError on unknown names, PluginError where a plug-in's gives none."""
    function, where = _function(definition), PLACE.where(definition.section)
    try:
        found: Any = function(definition, inputs)
    except (SambenchError, MemoryError):
        raise
    except (Exception, SystemExit) as e:  # the function is anyone's
        if where.startswith(__name__):
            raise
        raise PluginError(f"the plug-in's report section {definition.section!r} failed", where=where, found=message_of(e)) from e
    if not isinstance(found, Section):
        expected = "a sambench.report.document.Section"
        raise PluginError("a plug-in's report section gives no section", where=where, expected=expected, found=repr(found))
    return found


def _function(definition: Definition) -> Draw:
    name = definition.section
    module = PLACE.module(name)
    if module is None:
        raise unknown_name("report section", name, PLACE.names(), where=f"section of the report definition {definition.id!r}")
    function: Draw | None = getattr(module, "SECTION", None)
    if not callable(function):
        expected = "a module with SECTION, a function of a definition and inputs"
        raise PluginError(f"{name!r} is no report section", where=PLACE.where(name), expected=expected, found=repr(function))
    return function
