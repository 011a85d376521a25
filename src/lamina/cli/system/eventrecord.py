"""An event as templates see it: Go's ``events.Message``."""

from __future__ import annotations

from lamina.template import Record, TextMap
from lamina.typing import Any


class EventRecord(Record):
    """An event, with the names that its members have in Go; JSON shows the document as it is."""

    __slots__ = ("_event",)

    def __init__(self, event: dict[str, Any]) -> None:
        self._event = event
        columns = {
            "Status": lambda: event.get("status", ""),
            "ID": lambda: event.get("id", ""),
            "From": lambda: event.get("from", ""),
            "Type": lambda: event["Type"],
            "Action": lambda: event["Action"],
            "Actor": lambda: _Actor(event["Actor"]),
            "Scope": lambda: event["scope"],
            "Time": lambda: event["time"],
            "TimeNano": lambda: event["timeNano"],
        }
        super().__init__(columns, "*events.Message", fields=tuple(columns))

    def to_json(self) -> dict[str, object]:
        return self._event

    def members(self) -> list[object]:
        return [column() for column in self.columns.values()]


class _Actor(Record):
    __slots__ = ()

    def __init__(self, actor: dict[str, Any]) -> None:
        columns = {"ID": lambda: actor["ID"], "Attributes": lambda: TextMap(actor["Attributes"])}
        super().__init__(columns, "events.Actor", fields=tuple(columns))
