"""The Space as it is served: hostile visitors, many visitors, its API, its tools, and what it keeps of anybody."""

from __future__ import annotations

import asyncio
import html
import inspect
import json
import pickle
import re
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import psutil
import pytest
from gradio_client import Client, handle_file
from hostile_files import HTML, Payload, hostile_files
from isotropy_space import handlers
from isotropy_space.limits import MAX_BYTES
from isotropy_space.pairs import MAX_PAIRS
from isotropy_space.training import MAX_STATE_BYTES
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from space_server import APP, Server, space_server
from space_visitor import RefusalError, Visitor, file_at

pytestmark = pytest.mark.slow

PAGE_SECONDS = 5
"""Until a refusal."""

KEPT_SECONDS = 6
TEXTS = "\n".join(
    f"{what} {where}"
    for what in ("a cat", "a dog", "music", "rain", "no one")
    for where in "here there up down away".split()
)
HANDLERS = [
    "look_at_file",
    "look_at_texts",
    "compare_files",
    "compare_models",
    "repair_file",
    "repair_texts",
    "downloads_of_file",
    "downloads_of_texts",
    "training_curves",
]
GENERATOR = np.random.default_rng(0)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with space_server(tmp_path_factory.mktemp("space")) as served:
        yield served


@pytest.fixture(scope="module")
def visitor(server):
    with Visitor(server.url) as one:
        yield one


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    path = tmp_path_factory.mktemp("cloud") / "cloud.npy"
    np.save(path, GENERATOR.normal(size=(300, 16)) * np.linspace(1, 3, 16) + 1)
    return path


@pytest.fixture(scope="module")
def other_cloud(cloud):
    path = cloud.with_name("other cloud.npy")
    np.save(path, np.load(cloud)[:, ::-1] + GENERATOR.normal(size=(300, 16)))
    return path


@pytest.fixture(scope="module")
def scored_pairs(cloud):
    path = cloud.with_name("pairs.csv")
    lines = [f"{i},{i + 1},{GENERATOR.random():.3f}" for i in range(0, 100, 2)]
    path.write_text("\n".join(["first,second,score", *lines]), encoding="utf-8")
    return path


def megabytes(server: Server) -> float:
    """Of memory that the server has now, with its children."""
    process = psutil.Process(server.pid)
    return sum(each.memory_info().rss for each in (process, *process.children(recursive=True))) / 1e6


def kept(server: Server) -> list[Path]:
    """The files with anything in them that the server has of its visitors."""
    return [path for path in (server.folder / "uploads").rglob("*") if path.is_file() and path.stat().st_size]


def check_refused(server: Server, visitor: Visitor, handler: str, name: str, **given: Any) -> None:
    """In one sentence, soon, that names the file and nothing of the server, and no HTML but escaped."""
    began = time.perf_counter()
    with pytest.raises(RefusalError) as caught:
        visitor.ask(handler, **given)
    seconds = time.perf_counter() - began
    said = caught.value.sentence
    assert said, name
    assert seconds < PAGE_SECONDS, (name, seconds)
    assert "\n" not in said and 10 < len(said) <= 1000, name
    assert "<" not in said and ">" not in said, said
    shown = html.unescape(said)
    assert "".join(c if c.isprintable() else " " for c in name[:79]) in shown, (name, said)
    for place in (str(server.folder), str(APP.parent), "site-packages", "Traceback"):
        assert place not in shown, said
    assert psutil.pid_exists(server.pid) and visitor.http.get(f"{server.url}/theme.css").status_code == 200


def hostile_pairs() -> dict[str, bytes]:
    """Files of pairs for 300 rows."""
    good = "first,second,score\n0,1,1\n2,3,2\n4,5,3\n"
    return {
        "empty.csv": b"",
        "only a heading.csv": b"first,second,score\n",
        "two columns.csv": b"0,1\n2,3\n4,5\n",
        "same scores.csv": b"0,1,1\n2,3,1\n4,5,1\n",
        "no row.csv": f"{good}300,1,2\n".encode(),
        "negative.csv": f"{good}-1,1,2\n".encode(),
        "long number.csv": f"{good}{'9' * 5000},1,2\n".encode(),
        "arabic digits.csv": f"{good}١,1,2\n".encode(),
        "fraction.csv": f"{good}1.5,1,2\n".encode(),
        "NaN.csv": f"{good}1,1,nan\n".encode(),
        "infinite.csv": f"{good}1,1,1e999\n".encode(),
        "HTML.csv": f"{good}{HTML},1,2\n".encode(),
        "HTML as score.csv": f"{good}1,1,{HTML}\n".encode(),
        f"{HTML}.csv": f"{good}1,1,x\n".encode(),
        "formula.csv": f"{good}=cmd|' /C calc'!A0,1,2\n".encode(),
        "latin.csv": f"{good}é,1,2\n".encode("latin-1"),
        "utf-16.csv": good.encode("utf-16"),
        "zero bytes.csv": good.encode() + bytes(100),
        "open quote.csv": f'{good}"1,1,2\n'.encode(),
        "long line.csv": f"{good}{'1' * 1_000_000},1,2\n".encode(),
        "too many.csv": b"0,1,1\n" * (MAX_PAIRS + 1),
        "too large.csv": b"0,1,1\n" * 1_000_000,
        "good.xlsx": good.encode(),
        "pickle.csv": pickle.dumps(Payload()),
        "pickle.pkl": pickle.dumps(Payload()),
    }


def hostile_states() -> dict[str, bytes]:
    """Files that are no trainer_state.json."""

    def logged(*entries: Any) -> bytes:
        return json.dumps({"log_history": list(entries)}).encode()

    entry = {"step": 1, "eval_geometry/layer_1/isoscore": 0.5}
    return {
        "empty.json": b"",
        "cut.json": logged(entry)[:-9],
        "noise.json": np.random.default_rng(1).bytes(5000),
        "latin.json": '{"é": 1}'.encode("latin-1"),
        "utf-16.json": logged(entry).decode().encode("utf-16-le"),
        "deep.json": b"[" * 1_000_000,
        "deep entry.json": b'{"log_history": [' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"]}",
        "null.json": b"null",
        "list.json": b"[]",
        "nothing.json": b"{}",
        "no list.json": b'{"log_history": 3}',
        "entries of text.json": logged("a", "b"),
        "no entries.json": logged(),
        "no isotropy.json": logged({"step": 1, "loss": 2.0}),
        "long number.json": b'{"log_history": [{"step": ' + b"9" * 1_000_000 + b"}]}",
        "long key.json": logged({"step": 1, f"eval_isotropy_{'x' * 100_000}": 1.0}),
        f"{HTML}.json": logged({"step": HTML, HTML: HTML}),
        "too large.json": b" " * (MAX_STATE_BYTES + 1),
        "pickle.json": pickle.dumps(Payload()),
    }


def test_hostile_uploads_are_refused_in_a_sentence_that_names_the_file(server, visitor, cloud, scored_pairs, tmp_path):
    good, pairs = visitor.upload(cloud), visitor.upload(scored_pairs)
    visitor.ask("repair_file", file=good, pairs=pairs)
    before, n_refused = megabytes(server), 0
    for number, path in enumerate(path for path in hostile_files(tmp_path) if path.is_file()):
        file = visitor.upload(path)
        questions = [("look_at_file", {"file": file})]
        if number % 4 == 0:
            questions += [("compare_files", {"first": good, "second": file})]
            questions += [("compare_files", {"first": file, "second": good}), ("repair_file", {"file": file})]
        for handler, given in questions:
            check_refused(server, visitor, handler, Path(file["path"]).name, **given)
            n_refused += 1
    for name, content in hostile_pairs().items():
        file = visitor.upload(content, name)
        check_refused(server, visitor, "repair_file", Path(file["path"]).name, file=good, pairs=file)
        n_refused += 1
    for name, content in hostile_states().items():
        file = visitor.upload(content, name)
        check_refused(server, visitor, "training_curves", Path(file["path"]).name, file=file)
        n_refused += 1
    assert n_refused >= 600
    assert not Path("/tmp/isotropy-space-was-harmed").exists()
    assert megabytes(server) < before + 300
    assert visitor.ask("look_at_file", file=good)[0].startswith("cloud.npy: 300 rows")


def test_texts_of_a_file_come_back_as_text(visitor, tmp_path):
    names = np.array([f"{HTML} {i}" for i in range(40)])
    path = tmp_path / "named.npz"
    np.savez(path, **{HTML: GENERATOR.normal(size=(40, 4)), "names": names, "labels": np.arange(40) % 3})
    file = visitor.upload(path.read_bytes(), f"{HTML}.npz")
    said, notes, *others = visitor.ask(
        "look_at_file", file=file, column=HTML, names="names", labels="labels", colored_by="labels of the file"
    )
    assert "<" not in said.replace(r"\<", "") and "<" not in notes.replace(r"\<", "")
    figures = [json.loads(each["plot"]) for each in others if "plot" in each]
    assert len(figures) == 4 and "<img" not in json.dumps(figures)


def test_an_upload_above_the_cap_is_refused_while_it_comes(server):
    before = kept(server)
    address = urlsplit(server.url)
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="big.npy"\r\n\r\n'
    head = (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {10 * MAX_BYTES}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        connection.sendall(head.encode() + part)
        sent = 0
        while not select.select([connection], [], [], 0)[0]:
            connection.sendall(bytes(2**20))
            sent += 2**20
        answer = connection.recv(10_000).decode()
    assert answer.startswith("HTTP/1.1 413") and f"maximum allowed size of {MAX_BYTES}" in answer
    assert MAX_BYTES - 2**20 <= sent < 2 * MAX_BYTES
    assert kept(server) == before


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../../../../../../etc/passwd",
        "{uploads}/../server.log",
        "{uploads}/../../../../../../../etc/passwd",
        "{app}/app.py",
        "{app}/example/words.parquet",
        "file:///etc/passwd",
        "{url}/config",
        "http://169.254.169.254/latest/meta-data",
        "/proc/self/environ",
        "",
        ".",
        "{uploads}",
        "{cloud}",
    ],
)
def test_files_outside_the_uploads_are_not_read(server, visitor, cloud, path):
    places = {"uploads": server.folder / "uploads", "app": APP.parent, "url": server.url, "cloud": cloud}
    path = path.format(**places)
    for file in (file_at(path), file_at("x.npy") | {"url": path}, path):
        for handler, given in (
            ("look_at_file", {"file": file, "column": "before"}),
            ("compare_files", {"first": file}),
            ("repair_file", {"file": file}),
            ("repair_file", {"pairs": file}),
            ("downloads_of_file", {"file": file, "column": "before"}),
            ("training_curves", {"file": file}),
        ):
            if file == "":
                continue
            with pytest.raises(RefusalError) as caught:
                visitor.ask(handler, **given)
            assert str(server.folder) not in str(caught.value.sentence)
    for served in (f"{visitor.api}/file={path}", f"{server.url}/file={path}", f"{visitor.api}/file/{path}"):
        answer = visitor.http.get(served)
        assert answer.status_code in (400, 403, 404, 405, 307) and len(answer.content) < 500


def test_the_api_is_the_handlers_with_their_parameters(visitor, server):
    assert [name.strip("/") for name in visitor.endpoints] == HANDLERS
    for name in HANDLERS:
        listed = [each["parameter_name"] for each in visitor.endpoints[f"/{name}"]["parameters"]]
        assert listed == list(inspect.signature(getattr(handlers, name)).parameters)
    info = visitor.http.get(f"{visitor.api}/info").json()
    assert not info["unnamed_endpoints"]
    public = {name for name, value in vars(handlers).items() if inspect.isfunction(value) and name[0] != "_"}
    assert set(HANDLERS) == {name for name in public if vars(handlers)[name].__module__ == handlers.__name__}


def plain(answer: Any) -> Any:
    """An answer of the API or of a handler as plain values: tables as lists, pictures as the kinds of their parts.

    A table without rows is as good as none.
    """
    if isinstance(answer, pd.DataFrame):
        answer = {"headers": list(answer.columns), "data": answer.to_numpy(dtype=object).tolist()}
    if isinstance(answer, go.Figure):
        answer = {"plot": answer.to_json()}
    if isinstance(answer, dict) and "plot" in answer:
        figure = json.loads(answer["plot"])
        return [figure["layout"]["title"], [(part["type"], part.get("name")) for part in figure["data"]]]
    if isinstance(answer, dict) and "headers" in answer:
        return [answer["headers"], answer["data"]] if any(answer["data"]) else None
    return answer


def check_same(found: Any, expected: Any) -> None:
    """Numbers nearly, for threads add in another order, and all else exactly."""
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            check_same(one, other)
    elif isinstance(expected, float | np.floating) and not isinstance(expected, bool):
        assert found == pytest.approx(float(expected), rel=2e-3, abs=1e-6)
    else:
        assert found == expected


@pytest.mark.parametrize("handler", HANDLERS)
def test_gradio_client_gets_what_the_handler_answers(
    handler, server, cloud, other_cloud, scored_pairs, tmp_path, monkeypatch
):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    enhancement = {"enhancement": "All but the top", "strength": 2}
    given = {
        "look_at_file": {"file": cloud, "colored_by": "clusters"},
        "look_at_texts": {"texts": TEXTS, "layer": 3, "pooling": "cls"},
        "compare_files": {"first": cloud, "second": other_cloud},
        "compare_models": {"texts": TEXTS, "first_layer": 1, "second_layer": 4},
        "repair_file": enhancement | {"file": cloud, "pairs": scored_pairs},
        "repair_texts": enhancement | {"texts": TEXTS},
        "downloads_of_file": enhancement | {"file": cloud},
        "downloads_of_texts": enhancement | {"texts": TEXTS},
        "training_curves": {},
    }[handler]
    expected = getattr(handlers, handler)(**{k: str(v) if isinstance(v, Path) else v for k, v in given.items()})
    if inspect.isgenerator(expected):
        *_, expected = expected
    sent = {key: handle_file(value) if isinstance(value, Path) else value for key, value in given.items()}
    with closing(Client(server.url, verbose=False, download_files=tmp_path / "downloaded")) as client:
        found = client.predict(**sent, api_name=f"/{handler}")
    if handler.startswith("downloads"):
        assert [Path(path).name for path in found[0]] == [Path(path).name for path in expected[0]]
        for mine, theirs in zip(found[0], expected[0], strict=True):
            if mine.endswith(".npy"):
                np.testing.assert_allclose(np.load(mine), np.load(theirs), rtol=1e-4, atol=1e-5)
        assert found[1].rstrip() == expected[1].rstrip()
        return
    check_same([plain(each) for each in found], [plain(each) for each in expected])
    if handler == "look_at_file":
        measures = found[2]["data"]
        assert all(row[2] is not None and row[2] < row[3] for row in measures[:7])


def test_the_tools_of_the_space(server):
    async def talk():
        async with streamable_http_client(f"{server.url}/gradio_api/mcp/") as streams:
            async with ClientSession(*streams[:2], read_timeout_seconds=timedelta(seconds=120)) as session:
                await session.initialize()
                tools = (await session.list_tools()).tools
                curves = await session.call_tool("training_curves", {})
                looked = await session.call_tool("look_at_texts", {"texts": TEXTS})
                nowhere = await session.call_tool("training_curves", {"file": "/etc/passwd"})
                column = await session.call_tool("look_at_file", {"file": f"{server.url}/x.npz", "column": "vector"})
                model = await session.call_tool("look_at_texts", {"texts": TEXTS, "model": "a/b"})
                return tools, curves, looked, nowhere, column, model

    tools, curves, looked, nowhere, column, model = asyncio.run(talk())
    described = {tool.name: tool for tool in tools if tool.name in HANDLERS}
    assert list(described) == HANDLERS
    for name, tool in described.items():
        first_line = getattr(handlers, name).__doc__.split("\n")[0]
        assert tool.description.startswith(first_line)
        for parameter, schema in tool.inputSchema["properties"].items():
            assert schema["description"], (name, parameter)
    assert not curves.isError and "No collapse alarm was raised" in curves.content[0].text
    assert not looked.isError and "25 rows of 384 features" in looked.content[0].text
    assert nowhere.isError and "root:" not in nowhere.content[0].text
    assert column.isError and "validation" not in column.content[0].text
    assert model.isError and "cannot load the model" in html.unescape(model.content[0].text)


def test_visitors_who_come_together_get_their_own_answers(server, tmp_path):
    paths = [tmp_path / f"cloud {i}.npy" for i in range(5)]
    for i, path in enumerate(paths):
        np.save(path, np.random.default_rng(i).normal(size=(100 + 100 * i, 5 + i)) + i)
    expected = [[plain(each) for each in list(handlers.look_at_file(str(path)))[-1]] for path in paths]

    def visit(i: int) -> None:
        with Visitor(server.url) as visitor:
            file = visitor.upload(paths[i])
            for _ in range(2):
                for step in visitor.answers("look_at_file", file=file):
                    assert step[:2] == expected[i][:2]
                check_same([plain(each) for each in step], expected[i])
                said, notes, *_ = visitor.ask("compare_files", first=file, second=file)
                assert said.count(f"cloud {i}.npy, {5 + i} features") == 2
                assert set(re.findall(r"of ([\d,]+) rows", notes)) <= {f"{100 + 100 * i:,}"}

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(visit, range(5)))
    assert len({each[1] for each in expected}) >= 4


FORGETFUL = """
import runpy
import sys

sys.path.insert(0, {folder!r})
from isotropy_space import handlers

handlers.KEPT_SECONDS = {seconds}
runpy.run_path({app!r}, run_name="__main__")
"""


def test_nothing_of_a_visitor_is_kept_longer_than_promised(cloud, tmp_path):
    script = tmp_path / "forgetful.py"
    script.write_text(FORGETFUL.format(folder=str(APP.parent), seconds=KEPT_SECONDS, app=str(APP)), encoding="utf-8")
    with space_server(tmp_path, script) as server, Visitor(server.url) as visitor:
        file = visitor.upload(cloud)
        visitor.ask("look_at_file", file=file)
        [files, _] = visitor.ask("downloads_of_file", enhancement="Centering", strength=0, file=file)
        got = [visitor.http.get(each["url"]) for each in files]
        assert all(each.status_code == 200 for each in got) and Path(file["path"]).exists()
        leave_in_the_middle_of_an_upload(server)
        assert len(kept(server)) >= 4
        deadline = time.monotonic() + 4 * KEPT_SECONDS
        while kept(server) and time.monotonic() < deadline:
            time.sleep(0.5)
        assert kept(server) == []
        with pytest.raises(RefusalError) as caught:
            visitor.ask("look_at_file", file=file)
        assert caught.value.sentence == "there is no file cloud.npy: upload it again"


def leave_in_the_middle_of_an_upload(server: Server) -> None:
    """As somebody does who closes the page."""

    def content():
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="secret.npy"\r\n\r\n'
        yield bytes(2**20)
        raise KeyboardInterrupt

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    with pytest.raises(KeyboardInterrupt), httpx.Client(trust_env=False) as http:
        http.post(f"{server.url}/gradio_api/upload", content=content(), headers=headers)
