"""The dashboard and the rules ask for what there is, in a language that Prometheus understands."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.grafana import dashboard
from examples.grafana.panels import ROWS
from mobius_infra.core import Stats
from mobius_infra.metrics import MetricsCollector
from tests.metrics.components import EVERYWHERE, components, exported
from tests.servers.missing import obtain
from tests.servers.prometheus import find_prometheus

EXAMPLES = Path(__file__).parents[2] / "examples"
PROMETHEUS = EXAMPLES / "prometheus"
RULES = (PROMETHEUS / "mobius.rules.yml").read_text()
RULE_TESTS = (PROMETHEUS / "mobius.rules.test.yml").read_text()

METRIC = re.compile(r"(?<![\w:.])((?:mobius|function)_\w+)(?:\{([^}]*)\})?")
ALERT = re.compile(r"- alert: (\w+)")
BY = re.compile(r"\bby \(([^)]*)\)")
LEGEND = re.compile(r"\{\{(\w+)\}\}")


WITHOUT_A_RULE = {
    f"mobius_{kind}"
    for kind in (
        "hedge", "throttle", "events", "metrics", "active", "feature", "funnel", "batched",
        "coalesced", "debounced", "gc", "object", "tuner",
    )
}  # fmt: skip
"""What these say wakes nobody."""


NOT_YET_KNOWN = {
    "mobius_workers_age_seconds", "mobius_event_loop_tasks", "mobius_resource_monitor_sent_rate",
    "mobius_resource_monitor_received_rate", "mobius_memory_monitor_growth",
    "mobius_memory_monitor_slack_bytes", "mobius_tuner_guard", "mobius_tuner_score",
}  # fmt: skip
"""What only a component that runs can say, or not on every machine."""


def promtool(*arguments: str) -> str:
    """What promtool says; the test fails if it finds fault."""
    program = obtain(lambda: find_prometheus("promtool"), required=False)  # no part of ours
    ran = subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, check=False, cwd=PROMETHEUS
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def drawn() -> Iterator[dict[str, Any]]:
    """Every panel, those of folded rows too."""
    for panel in dashboard.dashboard()["panels"]:
        yield panel
        yield from panel.get("panels", [])


def queries() -> list[tuple[str, str]]:
    """Every expression of the dashboard as Grafana would send it, with its legend."""
    found = []
    for panel in drawn():
        for target in panel.get("targets", []):
            query = target["expr"].replace("$__rate_interval", "5m").replace("$__range", "3h")
            found.append((re.sub(r"\$\w+", ".*", query), target["legendFormat"]))
    return found


def expressions() -> Iterator[str]:
    """Every expression of the rules."""
    for found in re.finditer(r"expr: (?:\|\n((?: {10,}.*\n)+)|(.+))", RULES):
        yield found[1] or found[2]


@pytest.fixture
def names(tmp_path: Path) -> dict[str, set[str]]:
    return exported(components(tmp_path))


def test_what_is_said_to_be_exported_is_exported(
    tmp_path: Path, names: dict[str, set[str]]
) -> None:
    metrics = MetricsCollector("bot")
    found = components(tmp_path)
    metrics.watch(*found)

    @metrics.timed
    @metrics.counted
    @metrics.in_flight
    def work() -> None: ...

    work()
    text = metrics.render()[1].decode()
    there = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line[0] != "#"}
    assert {each for each in there if not each.endswith("_created")} <= names.keys()
    plain = {name for name, labels in names.items() if labels <= {"state"}}
    # Numbers of the machine may not be known on this one.
    unknown = {name for name in plain if name.startswith(("mobius_machine_", "mobius_process_"))}
    assert plain - NOT_YET_KNOWN - unknown <= there


def test_no_kind_of_component_is_forgotten(tmp_path: Path) -> None:
    def below(kind: type[Stats]) -> set[type[Stats]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    # By name: a dataclass with slots leaves another class of its name behind.
    ours = {each.__name__ for each in below(Stats) if each.__module__.startswith("mobius_infra")}
    shown = {type(each.stats()).__name__ for each in components(tmp_path)}
    assert ours - {"Stats"} == shown


@pytest.mark.parametrize("where", ["dashboard", "rules", "tests of the rules"])
def test_every_metric_that_is_asked_for_is_there(where: str, names: dict[str, set[str]]) -> None:
    text = {
        "dashboard": "\n".join(query for query, _ in queries()),
        "rules": "\n".join(expressions()),
        "tests of the rules": "\n".join(re.findall(r"series: '(.*)'", RULE_TESTS)),
    }[where]
    asked = list(METRIC.finditer(text))
    assert len(asked) > 40
    for found in asked:
        metric, filters = found[1], found[2] or ""
        assert metric in names, f"no component exports {metric}"
        labels = set(re.findall(r"(\w+)=", filters))
        assert labels <= EVERYWHERE | names[metric], f"{metric} has no such labels: {filters}"


def test_every_kind_of_component_has_a_panel_and_a_rule(names: dict[str, set[str]]) -> None:
    kinds = {re.match(r"mobius_[a-z]+", name)[0] for name in names if name.startswith("mobius_")}  # type: ignore[index]
    for text, without in (
        ("\n".join(query for query, _ in queries()), set()),
        (RULES, WITHOUT_A_RULE),
    ):
        assert {kind for kind in kinds if f"{kind}_" not in text} == without


def test_panels_and_rules_group_by_labels_that_their_metrics_have(
    names: dict[str, set[str]],
) -> None:
    for query in [*(query for query, _ in queries()), *expressions()]:
        own = [names[found[1]] for found in METRIC.finditer(query)]
        having = EVERYWHERE.union(*own) if own else EVERYWHERE
        for by in BY.findall(query):
            assert set(re.split(r",\s*", by)) <= having, query


def test_legends_name_labels_that_their_queries_keep() -> None:
    for query, legend in queries():
        kept = {label for by in BY.findall(query) for label in re.split(r",\s*", by)}
        assert set(LEGEND.findall(legend)) <= kept, (legend, query)


def test_the_file_is_what_the_code_makes() -> None:
    assert dashboard.FILE.read_text() == dashboard.text()


def test_panels_lie_beside_each_other_and_have_ids_of_their_own() -> None:
    panels = list(drawn())
    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids)
    for row in dashboard.dashboard()["panels"]:
        taken: set[tuple[int, int]] = set()
        for panel in row.get("panels", []):
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert max(x for x, _ in cells) < dashboard.COLUMNS
            assert taken.isdisjoint(cells)
            taken |= cells
    open_ = [panel["gridPos"] for panel in dashboard.dashboard()["panels"]]
    together = [
        (x, y)
        for place in open_
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(together)) == len(together)


def test_no_data_source_is_hard_coded() -> None:
    text = dashboard.FILE.read_text()
    assert set(re.findall(r'"uid": "([^"]+)"', text)) == {"${datasource}", "mobius-infra"}
    variables = [each["name"] for each in json.loads(text)["templating"]["list"]]
    assert variables == ["datasource", "job", "instance", "name"]


def test_every_query_is_understood_and_bounded_by_the_variables(tmp_path: Path) -> None:
    for panel in drawn():
        for target in panel.get("targets", []):
            asked = len(METRIC.findall(target["expr"]))
            assert target["expr"].count('instance=~"$instance"') == asked, target["expr"]
    rules = [f"  - record: q:{at}\n    expr: {json.dumps(query)}\n"
             for at, (query, _) in enumerate(queries())]  # fmt: skip
    file = tmp_path / "queries.yml"
    file.write_text("groups:\n- name: queries\n  rules:\n" + "".join(rules))
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(file))


def test_the_rules_and_the_configuration_are_understood() -> None:
    assert "SUCCESS" in promtool("check", "rules", "mobius.rules.yml")
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml")


def test_every_alert_fires_when_it_should_and_only_then() -> None:
    alerts = ALERT.findall(RULES)
    assert len(set(alerts)) == len(alerts) > 30
    for alert in alerts:
        tests = re.findall(rf"alertname: {alert}\n +eval_time: \w+\n( +exp_alerts:)?", RULE_TESTS)
        assert "" in tests
        assert any(tests)
    assert "SUCCESS" in promtool("test", "rules", "mobius.rules.test.yml")


def test_an_alert_says_what_it_is_and_what_to_do() -> None:
    for rule in RULES.split("- alert: ")[1:]:
        rule = rule.split("- record:")[0]  # noqa: PLW2901 - the rest is another
        assert re.search(r"severity: (page|ticket)", rule)
        assert "summary: " in rule
        assert "description: " in rule


def test_rows_are_named() -> None:
    assert len({row.title for row in ROWS}) == len(ROWS)
