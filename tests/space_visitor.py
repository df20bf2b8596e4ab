"""A visitor of the Space, who talks to it as the script of its page does: uploads, a call, a stream of answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

SECONDS = 300
"""That a visitor waits for an answer at most: others may be in the queue."""


class QueueFullError(Exception):
    """The queue takes no more visitors now."""


class RefusalError(Exception):
    """What was asked for is refused.

    Attributes:
        sentence: what the page shows; None for an error that it says nothing of.
    """

    def __init__(self, sentence: str | None) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Visitor:
    """One of them.

    Args:
        url: of the Space.
    """

    def __init__(self, url: str) -> None:
        self.url, self.api = url, f"{url}/gradio_api"
        self.http = httpx.Client(timeout=SECONDS, trust_env=False)
        self.endpoints = self.http.get(f"{self.api}/info").raise_for_status().json()["named_endpoints"]

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def upload(self, content: Path | bytes, name: str | None = None) -> dict[str, Any]:
        """Upload a file, and call it so; what handlers take for it."""
        if isinstance(content, Path):
            name, content = name or content.name, content.read_bytes()
        answer = self.http.post(f"{self.api}/upload", files={"files": (name, content)})
        answer.raise_for_status()
        return file_at(answer.json()[0])

    def answers(self, handler: str, **given: Any) -> Iterator[list[Any]]:
        """Each answer of a handler, the last one twice if it answers in steps.

        Args:
            handler: its name.
            **given: some of its parameters; the others are as on the page when it opens.

        Raises:
            QueueFullError: it is not even put into the queue.
            RefusalError: by the handler.
        """
        parameters = self.endpoints[f"/{handler}"]["parameters"]
        values = [given.pop(each["parameter_name"], each["parameter_default"]) for each in parameters]
        if given:
            raise TypeError(f"{handler} has no parameters {', '.join(given)}")
        asked = self.http.post(f"{self.api}/call/{handler}", json={"data": values})
        if asked.status_code == 503:
            raise QueueFullError(asked.text)
        asked.raise_for_status()
        event = ""
        with self.http.stream("GET", f"{self.api}/call/{handler}/{asked.json()['event_id']}") as stream:
            stream.raise_for_status()
            for line in stream.iter_lines():
                kind, _, content = line.partition(": ")
                if kind == "event":
                    event = content
                elif kind == "data" and event == "error":
                    told = json.loads(content)
                    raise RefusalError(told["error"] if isinstance(told, dict) else told)
                elif kind == "data" and event in ("generating", "complete"):
                    yield json.loads(content)
        if event != "complete":
            raise ConnectionError(f"the answers of {handler} ended with {event!r}")

    def ask(self, handler: str, **given: Any) -> list[Any]:
        """The last answer of a handler."""
        *_, last = self.answers(handler, **given)
        return last


def file_at(path: str) -> dict[str, Any]:
    """A file on the server, as a value for a handler."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}}
