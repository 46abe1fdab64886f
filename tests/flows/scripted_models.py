"""Models that plan and act by a script, behind the real door, on both kinds of endpoint."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

from tests.endpoint import Answer, Body, Wants, schema_of

Kind = Literal["native", "schema"]
Call = tuple[str, dict[str, Any] | str]
Turn = Sequence[Call] | str
Script = Callable[[int, str], Turn]


def agent(
    kind: Kind, tools: Sequence[str], script: Script | Sequence[Turn]
) -> Callable[..., Answer]:
    """The answers of an agent's model: its plan names ``tools``, and its turns are the script's,
    which is told how many calls are done, and all that the model is shown."""
    turns = script if callable(script) else _in_order(script)

    def answer(body: Body, n: int) -> Answer:
        shown = "\n".join(str(m["content"]) for m in body["messages"] if m["role"] != "system")
        match (schema_of(body) or {}).get("title"):
            case "Steps":
                return json.dumps({"steps": [{"tool": t, "purpose": "It helps."} for t in tools]})
            case "Critique":
                return json.dumps({"verdict": "good", "reason": "It does."})
            case "Action":
                assert kind == "schema"
                [last] = [m["content"] for m in body["messages"] if "\n<done>" in m["content"]][-1:]
                done = re.findall(r"^\d+\. \w+\(", last.split("<done>")[1], re.MULTILINE)
                return _action(turns(len(done), last))
            case None if body.get("tools"):
                assert kind == "native"
                done = [m for m in body["messages"] if m["role"] == "tool"]
                turn = turns(len(done), shown)
                return turn if isinstance(turn, str) else Wants(tuple(turn))
        raise AssertionError(f"nobody expects {body}")

    return answer


def _in_order(script: Sequence[Turn]) -> Script:
    """Each turn after as many calls as those before it have made."""
    made, places = 0, dict[int, Turn]()
    for turn in script:
        places[made] = turn
        made += 0 if isinstance(turn, str) else len(turn)
    return lambda done, shown: places[done]


def _action(turn: Turn) -> str:
    if isinstance(turn, str):
        return json.dumps({"action": {"tool": "answer", "text": turn}})
    [(tool, arguments)] = turn
    return json.dumps({"action": {"tool": tool, "arguments": arguments}})


def planner(*plans: Any, answer: str = "It is done.") -> Callable[[Body, int], Answer]:
    """The answers of a planner: its plans, one after the other, each a list of steps, a text that
    is no JSON, or, as ``{"cannot": why}``, why there is none; and ``answer`` for the synthesis."""
    left = list(plans)

    def said(body: Body, n: int) -> Answer:
        schema = schema_of(body) or {}
        if schema["title"] == "GoalAnswer":
            return json.dumps({"answer": answer})
        assert schema["title"] == "Plan", schema["title"]
        plan = left.pop(0)
        match plan:
            case str():
                return plan
            case {"cannot": why}:
                return json.dumps({"why": why, "steps": []})
        steps = [{"arguments": {}, "for_each": None, "when": None, **step} for step in plan]
        return json.dumps({"why": "So it is reached.", "steps": steps})

    return said
