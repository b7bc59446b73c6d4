"""Commands in the state database: who asked for what, which agent was told, what became of it."""

from novacron_store.state.commands.brake import Brake, Brakes
from novacron_store.state.commands.dispatch import Asking, Dispatch, Round, Told
from novacron_store.state.commands.identifiers import new_id
from novacron_store.state.commands.journals import About, Entered, Journals
from novacron_store.state.commands.lapsing import Lapsed, Lapsing
from novacron_store.state.commands.listing import Event, Listing
from novacron_store.state.commands.machine import Meaning, Patience
from novacron_store.state.commands.operations import Added, Operations, summary
from novacron_store.state.commands.population import Coming
from novacron_store.state.commands.records import Command, Operation, Place, Stage, Step
from novacron_store.state.commands.reports import Answered, Reports, Said, Taken
from novacron_store.state.commands.schedules import Schedule, Schedules
from novacron_store.state.commands.secrecy import WITHHELD, withhold

__all__ = [
    "WITHHELD",
    "About",
    "Added",
    "Answered",
    "Asking",
    "Brake",
    "Brakes",
    "Coming",
    "Command",
    "Dispatch",
    "Entered",
    "Event",
    "Journals",
    "Lapsed",
    "Lapsing",
    "Listing",
    "Meaning",
    "Operation",
    "Operations",
    "Patience",
    "Place",
    "Reports",
    "Round",
    "Said",
    "Schedule",
    "Schedules",
    "Stage",
    "Step",
    "Taken",
    "Told",
    "new_id",
    "summary",
    "withhold",
]
