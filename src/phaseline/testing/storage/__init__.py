"""The contract of ``phaseline.abc.Storage``.

One class and one fixture prove an adapter::

    class TestMine(StorageContract):
        @pytest.fixture
        def make_storage(self, tmp_path):
            return lambda: MyStorage(tmp_path / "runs")
"""

from __future__ import annotations

from phaseline.testing.storage.ageing import Ageing
from phaseline.testing.storage.backlogs import Backlogs
from phaseline.testing.storage.claims import Claims
from phaseline.testing.storage.concurrency import Concurrency
from phaseline.testing.storage.epochs import Epochs
from phaseline.testing.storage.finding import Finding
from phaseline.testing.storage.forks import Forks
from phaseline.testing.storage.leases import Leases
from phaseline.testing.storage.letters import Letters
from phaseline.testing.storage.limits import Limits
from phaseline.testing.storage.messages import Messages
from phaseline.testing.storage.overdue import Overdue
from phaseline.testing.storage.places import Places
from phaseline.testing.storage.purging import Purging
from phaseline.testing.storage.rates import Rates
from phaseline.testing.storage.reads import Reads
from phaseline.testing.storage.schedules import Schedules
from phaseline.testing.storage.sharing import Sharing
from phaseline.testing.storage.sla import Levels
from phaseline.testing.storage.statistics import StatisticsOfRuns
from phaseline.testing.storage.waits import Waits
from phaseline.testing.storage.writes import Writes

__all__ = ["StorageContract"]


class StorageContract(
    Writes,
    Reads,
    Places,
    Finding,
    StatisticsOfRuns,
    Epochs,
    Forks,
    Purging,
    Claims,
    Ageing,
    Backlogs,
    Leases,
    Waits,
    Messages,
    Overdue,
    Levels,
    Concurrency,
    Rates,
    Letters,
    Schedules,
    Limits,
    Sharing,
):
    """Tests that every storage passes.

    A subclass gives the fixture ``make_storage``: a function that makes a storage, not yet opened. What it makes is
    empty when a test begins; within one test all calls open the same place if the storage is ``shared``.
    """
