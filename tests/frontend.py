"""The widgets of a notebook as a front end has them: by their models, and by messages to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import comm
import ipywidgets

VIEW = "application/vnd.jupyter.widget-view+json"


def live() -> set[str]:
    """The models of all widgets that are not closed."""
    return set(ipywidgets.Widget.get_manager_state()["state"])


class Widget:
    """A widget that is displayed; `widget["value"]` is what its model says."""

    def __init__(self, model: str) -> None:
        self.model = model

    def __getitem__(self, name: str) -> Any:
        return ipywidgets.Widget.get_manager_state()["state"][self.model]["state"][name]

    def below(self) -> Iterator[Widget]:
        """It and all in it, from the first to the last."""
        yield self
        state = ipywidgets.Widget.get_manager_state()["state"][self.model]["state"]
        for child in state.get("children", ()):
            yield from Widget(child.removeprefix("IPY_MODEL_")).below()

    def find(self, name: str, value: str) -> Widget:
        """The one in it whose `name` is `value`, or has it among others."""
        states = ipywidgets.Widget.get_manager_state()["state"]
        found = [w for w in self.below() if value in states[w.model]["state"].get(name, ())]
        return min(found, key=lambda widget: len(widget[name]))

    def click(self, button: str) -> None:
        """Click the button with this text."""
        self.find("description", button).send({"method": "custom", "content": {"event": "click"}})

    def change(self, **state: object) -> None:
        """What a person has changed in it."""
        self.send({"method": "update", "state": state, "buffer_paths": []})

    def send(self, data: dict[str, Any]) -> None:
        """Send its model a message, as the browser does."""
        message = {"content": {"data": data}, "buffers": []}
        comm.get_comm_manager().comms[self.model].handle_msg(message)


def displayed(shell: Any) -> Widget:
    """The widget that is in the newest output that has one."""
    shown = {out["transient"]["display_id"]: out["data"] for out in shell.display_pub.outputs}
    return Widget([data[VIEW]["model_id"] for data in shown.values() if VIEW in data][-1])
