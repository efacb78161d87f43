"""Dependencies: what a dead root makes of those above it, and whose trouble is whose."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.health import CheckFailed, CheckReleased, Degraded, Health, HealthMonitor
from mobius_infra.health._graph import Edges, Graph, Own, Standing, stand
from mobius_infra.testing import ManualClock
from tests.health.support import Dependency, listen, report_of, states, told


async def settle(monitor: HealthMonitor) -> None:
    for each in monitor.report().checks:
        await monitor.run(each.name)


async def test_a_dead_root_takes_down_what_depends_on_it_and_degrades_what_uses_it(
    monitor: HealthMonitor,
) -> None:
    root, well = Dependency(), Dependency()
    monitor.check("db")(root.check)
    monitor.check("api", depends_on=["db"])(well.check)
    monitor.check("search", uses=["db"], critical=False)(well.check)
    monitor.component("shop", depends_on=["api"], uses=["search"])
    await settle(monitor)
    heard = listen(monitor)
    root.error = OSError("gone")
    await monitor.run("db")
    assert states(monitor) == {"db": "down", "api": "down", "search": "degraded", "shop": "down"}
    assert {each.name: each.consequence_of for each in monitor.report().checks} == {
        "db": (), "api": ("db",), "search": ("db",), "shop": ("db",),
    }  # fmt: skip
    assert report_of(monitor, "shop").reason == "because of db"
    assert told(heard)[0] == "CheckFailed db"
    assert sorted(told(heard)[1:]) == [
        "CheckDegraded search", "CheckFailed api", "CheckFailed shop",
    ]  # fmt: skip
    root.error = None
    await monitor.run("db")
    assert set(states(monitor).values()) == {"up"}


async def test_many_components_ask_a_shared_dependency_once(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    root = Dependency(manual_clock, takes=0.1)
    monitor.check("redis", every=10, jitter=0)(root.check)
    for number in range(50):
        monitor.component(f"part {number}", depends_on=["redis"])
    async with monitor:
        asked = [asyncio.create_task(monitor.run(f"part {each}")) for each in range(50)]
        await manual_clock.advance(15)
        assert {(await each).state for each in asked} == {Health.UP}
    assert root.asked == [0, 10]


async def test_parents_are_asked_again_before_a_childs_failure_counts_as_its_own(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    root, child, heard = Dependency(manual_clock), Dependency(manual_clock), listen(monitor)
    monitor.check("db", every=600, jitter=0)(root.check)
    monitor.check("api", every=10, jitter=0, depends_on=["db"])(child.check)
    async with monitor:
        await manual_clock.advance(5)
        root.error = child.error = OSError("gone")
        await manual_clock.advance(10)  # the child is due; its parent only in ten minutes
        assert root.asked == [0, 10]
    assert told(heard) == ["CheckFailed db", "CheckFailed api"]
    assert isinstance(heard[1], CheckFailed)
    assert heard[1].consequence_of == ("db",)


async def test_a_parent_that_failed_but_is_not_yet_believed_to_be_down_explains_the_child(
    monitor: HealthMonitor,
) -> None:
    root, child, heard = Dependency(), Dependency(), listen(monitor)
    monitor.check("db", failures=3)(root.check)
    monitor.check("api", depends_on=["db"])(child.check)
    await settle(monitor)
    root.error = child.error = OSError("gone")
    report = await monitor.run("api")
    assert (report.state, report.consequence_of) == (Health.DOWN, ("db",))
    assert states(monitor) == {"db": "up", "api": "down"}
    assert told(heard) == ["CheckFailed api"]


async def test_a_child_that_stays_down_is_asked_again_and_then_released(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    root, child, other = Dependency(manual_clock), Dependency(manual_clock), Dependency()
    monitor.check("db", every=10, jitter=0)(root.check)
    for name, check in (("api", child.check), ("web", other.check)):
        monitor.check(name, every=600, jitter=0, depends_on=["db"])(check)
    root.error = child.error = other.error = OSError("gone")
    async with monitor:
        await manual_clock.advance(5)
        assert {each.consequence_of for each in monitor.report().checks[1:]} == {("db",)}
        heard = listen(monitor)
        root.error = other.error = None
        await manual_clock.advance(10)
        assert child.asked == [0, 10]  # at once, not in ten minutes
        assert states(monitor) == {"db": "up", "api": "down", "web": "up"}
    assert told(heard) == ["CheckRecovered db", "CheckReleased api", "CheckRecovered web"]
    assert isinstance(heard[1], CheckReleased)
    assert (heard[1].reason, heard[1].was_consequence_of) == ("OSError: gone", ("db",))
    assert report_of(monitor, "api").consequence_of == ()


async def test_trouble_worse_than_an_edge_explains_is_ones_own(monitor: HealthMonitor) -> None:
    root, child = Dependency(), Dependency()
    monitor.check("cache", critical=False)(root.check)
    monitor.check("api", uses=["cache"])(child.check)
    root.error = child.error = OSError("gone")
    await settle(monitor)
    assert report_of(monitor, "api").consequence_of == ()
    child.error, child.answer = None, Degraded("slow")
    await monitor.run("api")
    assert report_of(monitor, "api").consequence_of == ("cache",)


async def test_an_unknown_parent_takes_nothing_from_a_child_that_was_seen(
    monitor: HealthMonitor,
) -> None:
    root = Dependency()
    root.answer = Health.UNKNOWN
    monitor.check("db")(root.check)
    monitor.check("api", depends_on=["db"])(Dependency().check)
    monitor.component("shop", depends_on=["db"])
    await settle(monitor)
    assert states(monitor) == {"db": "unknown", "api": "up", "shop": "unknown"}


def test_cycles_are_refused_at_declaration_and_named(monitor: HealthMonitor) -> None:
    monitor.check("a", depends_on=["b"])(Dependency().check)
    monitor.check("b", uses=["c"])(Dependency().check)
    with pytest.raises(ConfigurationError, match=r"free of cycles; .*(a -> b|b -> c).*"):
        monitor.component("c", depends_on=["a"])
    with pytest.raises(ConfigurationError, match="free of cycles"):
        monitor.component("d", depends_on=["d"])
    monitor.component("c", depends_on=["e"])  # what was refused left nothing behind


async def test_unknown_names_are_refused_at_the_start(monitor: HealthMonitor) -> None:
    monitor.check("api", depends_on=["db"])(Dependency().check)
    with pytest.raises(ConfigurationError, match="what 'api' depends on is 'db'"):
        async with monitor:
            pass


def test_a_component_that_needs_nothing_is_refused(monitor: HealthMonitor) -> None:
    with pytest.raises(ConfigurationError, match="at least one name"):
        monitor.component("shop")


# The pure step.

ORDER = [Health.UP, Health.DEGRADED, Health.UNKNOWN, Health.DOWN]
known = st.sampled_from([Health.UP, Health.DEGRADED, Health.DOWN])


@st.composite
def nodes(draw: st.DrawFn) -> list[tuple[str, Own | None, Edges]]:
    """Give nodes in an order in which each depends only on those before it."""
    found: list[tuple[str, Own | None, Edges]] = []
    for number in range(draw(st.integers(1, 8))):
        kinds = [draw(st.sampled_from(["none", "depends_on", "uses"])) for _ in found]
        edges = Edges(*(
            tuple(name for (name, _, _), kind in zip(found, kinds, strict=True) if kind == wanted)
            for wanted in ("depends_on", "uses")
        ))  # fmt: skip
        state = draw(st.sampled_from(ORDER))
        own = Own(state, draw(known) if state is not Health.UNKNOWN else state)
        found.append((f"n{number}", own, edges))
    return found


@given(nodes=nodes())
def test_whoever_is_in_trouble_is_a_root_or_has_roots_in_trouble(
    nodes: list[tuple[str, Own | None, Edges]],
) -> None:
    standings: dict[str, Standing] = {}
    for name, own, edges in nodes:
        each = standings[name] = stand(name, own, edges, standings)
        assert own is not None
        assert ORDER.index(each.state) >= ORDER.index(own.state)  # edges never make it better
        for parent in edges.depends_on:
            if standings[parent].state is Health.DOWN:
                assert each.state is Health.DOWN
        if each.state in (Health.UP, Health.UNKNOWN):
            assert each.roots == ()
        elif not each.roots:
            assert own.state is each.state  # it says so itself, and nothing explains it
        for root in each.roots:
            assert root != name
            assert standings[root].suspect in (Health.DEGRADED, Health.DOWN)
            # Inhibition never hides what is worse.
            assert ORDER.index(standings[root].suspect) >= ORDER.index(each.state)


@given(nodes=nodes())
def test_parents_come_before_children_in_what_is_affected(
    nodes: list[tuple[str, Own | None, Edges]],
) -> None:
    graph = Graph()
    for name, _, edges in reversed(nodes):
        graph.add(name, edges)
    for name, _, _ in nodes:
        affected = graph.affected(name)
        assert affected[0] == name
        for place, each in enumerate(affected):
            inside = set(graph[each].all) & set(affected)
            assert inside <= set(affected[:place])
            assert place == 0 or inside
