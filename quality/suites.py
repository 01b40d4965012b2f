"""Great Expectations: one suite per table, and its validation of what Polars counted.

Great Expectations holds the suites, validates and says what failed. It reads no table: pandas would need the rows
in memory, one column operation at a time. It gets one row per table instead, with a column for each rule that says
how many rows break it.
"""

import contextlib
import io
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pandas as pd

from lakehouse.contracts.columns import TableContract
from quality.counting import Counts, declared_schema, rules_of
from quality.rules import Observed, Severity

SCHEMA_RULE = "columns and types are those of the contract"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One expectation, validated. `observed`: how many rows break it (of the schema: 1 if it differs)."""

    says: str
    severity: Severity
    success: bool
    observed: int


def great_expectations() -> ModuleType:
    """The library, imported quietly and only when needed (it takes seconds), and never calling home."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    # Under Airflow, whose root logger takes INFO, it would report each step of its own set-up; importing it sets
    # the level anew.
    logger = logging.getLogger("great_expectations")
    logger.setLevel(logging.WARNING)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        import great_expectations
    logger.setLevel(logging.WARNING)
    return great_expectations


def suite(contract: TableContract, observed: Iterable[Observed] = ()) -> Any:
    """The table's `ExpectationSuite`: that no row breaks any of its rules, that its schema is the contract's, and what
    was `observed` around it."""
    gx = great_expectations()
    expect = gx.expectations
    expectations = [
        expect.ExpectColumnDistinctValuesToBeInSet(
            column=SCHEMA_RULE,
            value_set=[declared_schema(contract)],
            severity=Severity.CRITICAL.value,
        )
    ]
    expectations += [
        expect.ExpectColumnMaxToBeBetween(
            column=rule.says, min_value=0, max_value=0, description=rule.says, severity=rule.severity.value
        )
        for rule in (*rules_of(contract), *observed)
    ]
    return gx.ExpectationSuite(name=contract.name, expectations=expectations)


def validate(contract: TableContract, counts: Counts, observed: Sequence[Observed] = ()) -> list[Outcome]:
    """Validates `counts` and `observed` against the table's suite, by a checkpoint of an ephemeral context."""
    gx = great_expectations()
    context = gx.get_context(mode="ephemeral", project_config=_configuration())
    context.variables.progress_bars = {"globally": False}
    batches = (
        context.data_sources.add_pandas("counted by Polars")
        .add_dataframe_asset(contract.name)
        .add_batch_definition_whole_dataframe("newest version")
    )
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name=contract.name, data=batches, suite=context.suites.add(suite(contract, observed)))
    )
    checkpoint = context.checkpoints.add(gx.Checkpoint(name=contract.name, validation_definitions=[definition]))
    seen = counts.broken | {each.says: len(each.violations) for each in observed}
    frame = pd.DataFrame([{SCHEMA_RULE: counts.schema} | seen])
    (result,) = checkpoint.run(batch_parameters={"dataframe": frame}).run_results.values()
    return [_outcome(one) for one in result.results]


def _configuration() -> Any:
    """All in memory. By default a folder for pages that nobody writes would stay behind in ``/tmp`` each time."""
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults

    stores = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    return DataContextConfig(store_backend_defaults=stores, analytics_enabled=False)


def _outcome(result: Any) -> Outcome:
    config = result.expectation_config
    says = config.kwargs["column"]
    observed = result.result.get("observed_value")
    count = int(not result.success) if says == SCHEMA_RULE else int(observed)
    return Outcome(says, Severity(config.severity), bool(result.success), count)
