"""book/tools/execute.py on a throw-away chapter, and the blocked network it runs under."""

import base64
import io
import os
import random
import subprocess
import sys

import nbformat
import pytest
from PIL import Image

import check
import execute
import fresh_machine
from throwaway import chapter, code, picture, save, stored_chapter, stream


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The throw-away chapter, executed once; its path."""
    path = save(chapter(), tmp_path_factory.mktemp("executed"))
    assert execute.main([str(path)]) == 0
    return path


def test_an_executed_chapter_passes_every_check(executed):
    assert check.complaints(executed) == []


def test_it_prints_what_the_hand_made_one_stores(executed):
    """The two throw-away chapters agree, so the checks are tried on what a kernel gives."""
    ran, made = nbformat.read(executed, as_version=4), stored_chapter()
    assert [check.text_of(cell) for cell in check.code_cells(ran)][2:] == [
        check.text_of(cell) for cell in check.code_cells(made)
    ][2:]


def test_numbers_of_the_text_are_filled_in(tmp_path):
    notebook = chapter()
    notebook.cells[0].source = notebook.cells[0].source.replace("-->2<", "-->?<")
    notebook.cells[2].source += "\nrows = [1, 2]"
    notebook.cells[4].source += "\nThere are <!--= len(rows) -->many<!--/--> rows."
    path = save(notebook, tmp_path)
    execute.execute(path)
    ran = nbformat.read(path, as_version=4)
    assert '<!--= f"{1 + 1}" -->2<!--/-->' in ran.cells[0].source
    assert "There are <!--= len(rows) -->2<!--/--> rows." in ran.cells[4].source
    assert len(ran.cells) == len(notebook.cells) and not check.complaints(path)


def test_a_number_that_cannot_be_computed_is_an_error(tmp_path, capsys):
    notebook = chapter()
    notebook.cells[0].source += "\n<!--= nothing_of_that_name -->0<!--/-->"
    path = save(notebook, tmp_path)
    before = path.read_bytes()
    assert execute.main([str(path)]) == 1 and path.read_bytes() == before
    assert "nothing_of_that_name" in capsys.readouterr().err


def test_running_it_again_changes_nothing(executed):
    def without_cost():
        notebook = nbformat.read(executed, as_version=4)
        del notebook.metadata["netinv"]  # the noise of a busy machine; see the tests of `settled`
        notebook.cells[0].source = execute.COST.sub("", notebook.cells[0].source)
        return nbformat.writes(notebook)

    before = without_cost()
    execute.execute(executed)
    assert without_cost() == before
    assert [path.name for path in executed.parent.iterdir()] == [executed.name]


def test_the_cost_is_measured_and_told(executed):
    notebook = nbformat.read(executed, as_version=4)
    cost = notebook.metadata.netinv.cost
    assert 0 < cost["seconds"] < 180 and 50 < cost["memory_mb"] < 5000 and cost["threads"] == 1
    assert execute.cost_text(cost) in notebook.cells[0].source


def test_nothing_of_the_run_is_left_in_the_metadata(executed):
    notebook = nbformat.read(executed, as_version=4)
    assert set(notebook.metadata) == {"kernelspec", "language_info", "netinv"}
    assert all(set(cell.metadata) <= {"tags", "mystnb"} for cell in notebook.cells)


@pytest.mark.parametrize(
    "source, said",
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import urllib.request as u; u.urlopen('http://192.0.2.1')", "network access is blocked"),
        ("import os; os._exit(3)", "Kernel died"),
    ],
)
def test_a_cell_that_raises_leaves_the_file_as_it_was(source, said, tmp_path, capsys):
    notebook = chapter()
    notebook.cells = [notebook.cells[0], code("print('first')"), code(source)]
    path = save(notebook, tmp_path)
    before = path.read_bytes()
    assert execute.main([str(path)]) == 1
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
    assert said in capsys.readouterr().err


def test_a_chapter_that_cannot_be_stored_is_refused_before_it_runs(tmp_path):
    notebook = chapter()
    notebook.cells[1].metadata["tags"] = ["raises-exception"]
    with pytest.raises(ValueError, match="raises-exception"):
        execute.execute(save(notebook, tmp_path))
    notebook.cells[0].source = "# No place for the cost"
    with pytest.raises(ValueError, match="the first cell has no"):
        execute.execute(save(notebook, tmp_path))


def test_a_large_notebook_is_not_written(tmp_path):
    notebook = stored_chapter()
    notebook.cells[0].source += "x" * execute.SIZE_LIMIT
    with pytest.raises(ValueError, match="a chapter may have"):
        execute.write(notebook, tmp_path / "01-large.ipynb")
    assert not list(tmp_path.iterdir())


# --- what is stored -------------------------------------------------------------------------


def test_a_progress_bar_is_stored_at_its_end():
    assert execute.last_state("\r  0%|\r 50%|\r100%|done\nnext\r\n") == "100%|done\nnext\n"
    assert execute.last_state("plain\n  text\n") == "plain\n  text\n"


def test_streams_merge_where_they_follow_each_other_and_widgets_go():
    view = nbformat.v4.new_output("display_data", data={execute.WIDGET: {}, "text/plain": "0%"})
    figure = picture(Image.new("RGB", (8, 8), "red"))
    parts = [stream("a"), stream("b\n"), view, stream("c\n"), figure, stream("d\n")]
    parts += [stream("\r 0%", "stderr"), stream("\r1%\n", "stderr"), stream("\n")]
    kept = execute.tidy_outputs(parts)
    assert [output.get("text", "figure") for output in kept] == ["ab\nc\n", "figure", "d\n", "1%\n"]


def decoded(encoded):
    return Image.open(io.BytesIO(base64.b64decode(encoded)))


def encode(image):
    return picture(image).data["image/png"]


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_large_picture_is_stored_in_few_colours_and_stays_like_itself(mode):
    noise = random.Random(0).randbytes(300 * 300 * len(mode))
    image = Image.frombytes(mode, (300, 300), noise).resize((600, 600), Image.Resampling.BICUBIC)
    small = decoded(execute.smaller_png(encode(image)))
    assert len(execute.smaller_png(encode(image))) < 0.6 * len(encode(image))
    assert small.size == image.size and small.mode == "P"
    before, after = (
        x.convert("RGBA").convert("RGB").resize((1, 1)).getpixel((0, 0)) for x in (image, small)
    )
    assert all(abs(a - b) < 12 for a, b in zip(before, after, strict=True))


def test_a_small_picture_keeps_every_pixel():
    image = Image.linear_gradient("L").convert("RGB")
    small = decoded(execute.smaller_png(encode(image)))
    assert small.convert("RGB").tobytes() == image.tobytes()
    clear = Image.new("RGBA", (9, 9), (1, 2, 3, 0))
    assert decoded(execute.smaller_png(encode(clear))).convert("RGBA").tobytes() == clear.tobytes()


def test_cells_keep_their_names_and_doubled_names_become_the_same_ones_each_time():
    names = []
    for _ in range(2):
        notebook = stored_chapter()
        notebook.cells[0].id, notebook.cells[2].id = "title", "title"
        execute.tidy(notebook)
        nbformat.validate(notebook)
        names.append(notebook.cells[2].id)
        assert notebook.cells[0].id == "title"
    assert names[0] == names[1] != "title"


COST = {"seconds": 84.0, "cpu_seconds": 80.0, "memory_mb": 810, "threads": 1}


def test_the_cost_reads_well():
    assert execute.cost_text(COST) == (
        "1.3 minutes on 2 CPU cores (measured with 1 thread), 0.9 GB of memory"
    )
    assert execute.needed({**COST, "seconds": 240.0}) == 80.0  # other programs were on
    quick = {**COST, "seconds": 9.0, "threads": 2}
    assert execute.cost_text(quick).startswith("less than half a minute on 2 CPU cores")
    assert "2 threads" in execute.cost_text(quick)


def test_only_a_cost_that_differs_replaces_the_stored_one():
    near, far = {**COST, "seconds": 100.0}, {**COST, "seconds": 120.0}
    short = {**COST, "seconds": 9.0}
    assert execute.settled({**COST, "seconds": 15.0}, short) == short
    assert execute.settled(near, COST) == COST
    assert execute.settled(far, COST) == far
    assert execute.settled({**COST, "memory_mb": 1200}, COST)["memory_mb"] == 1200
    assert execute.settled({**near, "threads": 2}, COST)["threads"] == 2
    assert execute.settled(near, None) == near


# --- no network -----------------------------------------------------------------------------

REACH_OUT = """
import socket, urllib.request
def blocked(call, *args):
    try:
        call(*args)
    except OSError as error:
        return "blocked in this run" in str(error)
    return False
udp, tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
assert blocked(tcp.connect, ("192.0.2.1", 80))
assert blocked(tcp.connect_ex, ("192.0.2.1", 80))
assert blocked(udp.sendto, b"x", ("192.0.2.1", 53))
assert blocked(udp.sendto, b"x", 0, ("192.0.2.1", 53))
assert blocked(socket.getaddrinfo, "example.org", 80)
assert blocked(socket.gethostbyname, "example.org")
assert blocked(socket.socket(socket.AF_INET6).connect, ("2001:db8::1", 80, 0, 0))
assert blocked(urllib.request.urlopen, "http://example.org/")
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname()).close()
    socket.create_connection(("localhost", server.getsockname()[1])).close()
assert udp.sendto(b"x", ("127.0.0.1", 9)) == 1
socket.getaddrinfo(None, 80)
"""


def test_only_this_machine_can_be_reached():
    env = {**os.environ, "PYTHONPATH": str(fresh_machine.NO_NETWORK)}
    subprocess.run([sys.executable, "-c", REACH_OUT], env=env, check=True)
