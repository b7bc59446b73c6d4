"""Labels by which rights are given: nobody hands a VM over to others, or to themselves, by them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn

from novacron_contract.access import Permission, Principal, ScopeKind, Target
from novacron_store.state import Users

_MANAGE = Permission.VM_MANAGE
Refuse = Callable[[str, str], NoReturn]  # what, and why; it goes on record


@dataclass(frozen=True)
class OwnLabels:
    """A label that somebody's rights go by is given by those alone who have the right to manage VMs
    of that label, or of the fleet."""

    users: Users

    def require(
        self, given: Iterable[tuple[str, str]], vm: str, principal: Principal, refuse: Refuse
    ) -> None:
        """Grants of users alone: a token's give nothing that its user has not, and anybody makes
        tokens.

        Raises:
            Refused: one of them is not theirs to give.
        """
        decisive = {
            grant.scope.name
            for user in self.users.all()
            for grant in user.grants
            if grant.scope.kind is ScopeKind.TAG and Permission.VM_POWER in grant.role.permissions
        }
        for name, value in given:
            if name in decisive and not principal.may(_MANAGE, Target("", "new", {name: value})):
                why = (
                    f"rights are given by the label {name}: {value!r} is given to VMs by those "
                    f"who may manage {name}={value}, or the fleet"
                )
                refuse(f"vm:{vm}", why)
