"""The downloader, against a server on loopback."""

import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from metaspec.data import DownloadError, download_omniglot, load_omniglot
from metaspec.data._archives import ARCHIVES
from metaspec.errors import InvalidArgumentError
from tests.data.helpers import description, small_archive, write_zip

SMALL1, SMALL2 = "images_background_small1", "images_background_small2"


@pytest.fixture
def served(tmp_path, monkeypatch):
    """The server's files by name, which a test may change; ARCHIVES describes them as they are at first."""
    files = {}
    for name, alphabets in ((SMALL1, {"Greek": 2}), (SMALL2, {"Tagalog": 1})):
        path = write_zip(tmp_path / f"{name}.zip", small_archive(name, alphabets))
        monkeypatch.setitem(ARCHIVES, name, description(path, sum(alphabets.values())))
        files[path.name] = path.read_bytes()
    return files


@pytest.fixture
def server(served):
    """(address, list of requested names, number of bytes to announce beyond those sent)."""
    asked, excess = [], {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.rpartition("/")[2]
            asked.append(self.path)
            if name not in served:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(served[name]) + excess.get(name, 0)))
            self.end_headers()
            self.wfile.write(served[name])

        def log_message(self, *_args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}/python", asked, excess
        httpd.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_files_arrive_whole_with_progress_and_can_be_loaded(server, served, tmp_path):
    address, asked, _ = server
    calls = []
    target = tmp_path / "new" / "folder"
    paths = download_omniglot(target, base_url=address + "/", progress=lambda *call: calls.append(call))
    assert [path.name for path in paths] == [f"{SMALL1}.zip", f"{SMALL2}.zip"]
    assert {path.name: path.read_bytes() for path in target.iterdir()} == served
    assert asked == [f"/python/{SMALL1}.zip", f"/python/{SMALL2}.zip"]
    for path in paths:
        own = [(done, total) for name, done, total in calls if name == path.name]
        assert own == sorted(own)
        assert own[-1] == (len(served[path.name]),) * 2
    assert len(load_omniglot(target, cache_dir=tmp_path / "cache").train.images) == 40


def test_what_is_there_already_is_not_fetched_again_and_what_is_damaged_is(server, served, tmp_path):
    address, asked, _ = server
    download_omniglot(tmp_path / "t", base_url=address)
    asked.clear()
    download_omniglot(tmp_path / "t", base_url=address)
    assert asked == []
    (tmp_path / "t" / f"{SMALL2}.zip").write_bytes(b"damaged")
    download_omniglot(tmp_path / "t", base_url=address)
    assert asked == [f"/python/{SMALL2}.zip"]
    assert (tmp_path / "t" / f"{SMALL2}.zip").read_bytes() == served[f"{SMALL2}.zip"]


@pytest.mark.parametrize("fault", ["changed", "short", "long", "broken off", "missing", "empty"])
def test_a_wrong_answer_leaves_nothing_and_says_how_to_proceed(server, served, tmp_path, fault):
    address, _, excess = server
    name = f"{SMALL1}.zip"
    content = served[name]
    if fault == "missing":
        del served[name]
    else:
        served[name] = {
            "changed": content[:-1] + b"?",
            "short": content[:-7],
            "long": content + bytes(500_000),
            "broken off": content[:-7],
            "empty": b"",
        }[fault]
    excess[name] = 7 if fault == "broken off" else 0
    with pytest.raises(DownloadError) as caught:
        download_omniglot(tmp_path / "t", base_url=address)
    message = str(caught.value)
    assert f"{address}/{name}" in message
    assert "Try again, or fetch https://github.com/brendenlake/omniglot" in message
    assert {"missing": "404", "long": "more than", "short": f"{len(content) - 7} bytes"}.get(fault, "") in message
    if fault != "missing":
        assert ARCHIVES[SMALL1].sha256 in message
    assert list((tmp_path / "t").iterdir()) == []


def test_a_failed_download_keeps_the_file_that_was_there(server, served, tmp_path):
    address, _, _ = server
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / f"{SMALL1}.zip").write_bytes(b"the user's own")
    served.clear()
    with pytest.raises(DownloadError):
        download_omniglot(tmp_path / "t", base_url=address)
    assert [path.read_bytes() for path in (tmp_path / "t").iterdir()] == [b"the user's own"]


def test_an_endless_answer_is_cut_off(server, served, tmp_path, monkeypatch):
    address, _, _ = server
    monkeypatch.setitem(ARCHIVES, SMALL1, replace(ARCHIVES[SMALL1], size=10))
    seen = []
    served[f"{SMALL1}.zip"] = bytes(2_000_000)
    with pytest.raises(DownloadError, match="more than 10 bytes"):
        download_omniglot(tmp_path / "t", base_url=address, progress=lambda _name, done, _total: seen.append(done))
    assert seen[-1] <= 1 << 16


def test_no_server_is_a_clear_error(tmp_path):
    with pytest.raises(DownloadError, match=r"^http://127\.0\.0\.1:9/.*Try again"):
        download_omniglot(tmp_path, base_url="http://127.0.0.1:9", timeout=5)


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(InvalidArgumentError, match=r"^base_url: expected .*got 'file:///etc'"):
        download_omniglot(tmp_path, base_url="file:///etc")
    with pytest.raises(InvalidArgumentError, match=r"^subset: expected one of 'small', 'full', 'lake', got 'all'"):
        download_omniglot(tmp_path, "all")
