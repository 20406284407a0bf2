"""What a person sees before a command does anything: the list, the help, completion, examples."""

import inspect
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from upscale.commands import COMMANDS, load, main, make_app
from upscale.commands.arguments import grid_names, model_names
from upscale.engine.config import load_run
from upscale.ingest.config import load_ingest
from upscale.training.config import read_config

ROOT = Path(__file__).parents[2]
#: Modules of the room that are no command.
SHARED = {"forecast", "__init__", "arguments", "output", "steps"}
#: Commands whose help must load neither torch nor dask.
LIGHT = ("run", "validate", "plan", "init", "status", "finalise", "check", "models")


def module_of(name: str):
    load(name)
    return sys.modules[f"upscale.commands.{name.replace('-', '_')}"]


def said(*words: str, capsys) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(list(words))
    shown = capsys.readouterr()
    return int(end.value.code or 0), shown.out, shown.err


def test_every_command_has_a_file_of_its_name_and_every_file_a_command():
    files = {path.stem for path in (ROOT / "upscale" / "commands").glob("*.py")} - SHARED
    assert files == {name.replace("-", "_") for name in COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_a_command_what_its_own_help_says_first(name):
    function = getattr(module_of(name), name.replace("-", "_"))
    first = (inspect.getdoc(function) or "").split("\n\n")[0]
    assert " ".join(first.split()) == COMMANDS[name].summary


def test_the_list_has_four_panels_with_every_command_in_one(capsys):
    code, out, _ = said("--help", capsys=capsys)
    assert code == 0
    titles = re.findall(r"^╭─ (\w+) ─", out, re.MULTILINE)
    assert titles == ["Options", "Run", "Data", "Models", "Results"]
    for name in COMMANDS:
        assert len(re.findall(rf"^│ {name} ", out, re.MULTILINE)) == 1
    assert all(f"{code} " in out.split("Exit codes:")[1] for code in (0, 1, 2, 3, 130))


def modules_after(*words: str) -> set[str]:
    """Modules of a fresh process that was called with these words."""
    code = (
        "import sys\nfrom upscale.commands import main\n"
        f"try: main({list(words)!r})\nexcept SystemExit: pass\n"
        "print('modules', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split("modules", 1)[1].split())


def test_the_list_loads_no_command_and_no_library_of_numbers():
    loaded = modules_after("--help")
    assert not loaded & {"torch", "dask", "distributed", "numpy", "pandas", "xarray"}
    own = {name for name in loaded if name.startswith("upscale.")}
    assert own == {"upscale.commands", "upscale.version"}


@pytest.mark.parametrize("name", LIGHT)
def test_the_help_of_a_command_loads_no_torch_and_no_dask(name):
    assert not modules_after(name, "--help") & {"torch", "dask", "distributed", "xarray"}


@pytest.mark.parametrize("words", [("models",), ("models", "--json"), ("grids",)])
def test_models_and_grids_are_listed_without_torch(words):
    assert "torch" not in modules_after(*words)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_fits_a_terminal_and_shows_its_examples(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = said(name, "--help", capsys=capsys)
    lines = out.splitlines()
    assert code == 0
    assert max(map(len, lines)) <= 80
    usage = re.search(r"Usage: (.*?)\n +\n", out, re.DOTALL)[1]
    assert usage.startswith(f"upscale {name} [OPTIONS]")
    assert not re.search(r"old|json_file|scan", usage)
    shown = [line.strip() for line in lines if line.strip().startswith("upscale ")]
    assert shown == list(module_of(name).EXAMPLES) != []


EXAMPLES = [(name, line) for name in COMMANDS for line in module_of(name).EXAMPLES]


@pytest.mark.parametrize(("name", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_an_example_is_understood_by_the_command(name, line, capsys):
    program, command, *words = shlex.split(line)
    assert (program, command) == ("upscale", name)
    context = load(name).make_context(name, words)
    old = [p.name for p in context.command.params if getattr(p, "hidden", False)]
    assert not [each for each in old if context.params[each]]
    assert "--json-file" not in words
    overrides = context.params.get("overrides") or ()
    if "RUN.yaml" in words:
        assert load_run(ROOT / "examples" / "run.yaml", overrides)
    elif "TRAIN.yaml" in words:
        assert read_config(ROOT / "examples" / "train-tamrl-v2.yaml", overrides)


def test_the_keys_in_the_examples_of_ingest_exist(tmp_path):
    document = next(path for path in ROOT.glob("docs/**/*.md") if path.name == "ingest.md")
    block = re.search(r"```yaml\n(.*?)```", document.read_text(), re.DOTALL)
    (tmp_path / "INGEST.yaml").write_text(block[1])
    lines = [shlex.split(line) for name, line in EXAMPLES if name in ("ingest", "fetch")]
    given = [word for words in lines for word in words if "=" in word]
    assert given
    for override in given:
        assert load_ingest(tmp_path / "INGEST.yaml", [override])


def test_all_commands_can_be_loaded_at_once():
    commands = typer.main.get_command(make_app(list(COMMANDS))).commands
    assert list(commands) == list(COMMANDS)
    assert any("--dry-run" in p.opts for p in commands["ingest"].params)


def test_an_unknown_command_is_refused_with_the_nearest_name(capsys):
    code, out, err = said("statsu", capsys=capsys)
    assert (code, out) == (2, "")
    assert "'status'" in err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_of_a_shell_is_printed(shell, monkeypatch, capsys):
    monkeypatch.setenv("_UPSCALE_COMPLETE", f"source_{shell}")
    code, out, _ = said(capsys=capsys)
    assert code == 0
    assert f"complete_{shell}" in out
    assert "_UPSCALE_COMPLETE" in out


def completed(line: str, shell: str, monkeypatch, capsys) -> list[str]:
    """What a shell offers at the end of a line."""
    words = shlex.split(line)
    monkeypatch.setenv("_UPSCALE_COMPLETE", f"complete_{shell}")
    if shell == "bash":
        last = len(words) - (not line.endswith(" "))
        monkeypatch.setenv("COMP_WORDS", "\n".join(words))
        monkeypatch.setenv("COMP_CWORD", str(last))
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    _, out, _ = said(capsys=capsys)
    return re.findall(r'^(?:_arguments .*\(\()?"?([\w=.-]+)', out, re.MULTILINE)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_names_are_completed(shell, monkeypatch, capsys):
    def offered(line: str) -> list[str]:
        return completed(line, shell, monkeypatch, capsys)

    assert offered("upscale ru") == ["run"]
    assert offered("upscale in") == ["init", "inspect", "ingest"]
    assert offered("upscale status --js") == ["--json"]
    assert offered("upscale evaluate tamrl-m") == ["tamrl-met-v1"]
    assert offered("upscale demo --model tamrl-v") == ["tamrl-v2"]
    assert offered("upscale run RUN.yaml mod") == [f"model={n}" for n in model_names("")]
    assert offered("upscale run RUN.yaml model=tamrl-v") == ["model=tamrl-v2"]
    assert offered("upscale ingest INGEST.yaml grid=global-0p0") == ["grid=global-0p05"]


def test_bash_itself_completes_commands_and_values_of_keys(tmp_path):
    """Bash makes three words of `model=tamrl`, and puts only the last in place."""
    program = tmp_path / "upscale"
    program.write_text(f'#!/bin/bash\nexec {shlex.quote(sys.executable)} -m upscale "$@"\n')
    program.chmod(0o755)
    script = """
        eval "$(_UPSCALE_COMPLETE=source_bash upscale)"
        offer() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _upscale_completion upscale
                  echo "${COMPREPLY[@]}"; }
        offer upscale ru
        offer upscale run RUN.yaml model = tamrl-v
        offer upscale run RUN.yaml model =
        offer upscale ingest INGEST.yaml grid = global-0p0
    """
    paths = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script], env={**os.environ, "PATH": paths}, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "run", "tamrl-v2", " ".join(model_names("")), "global-0p05",
    ]  # fmt: skip


def test_names_that_are_completed_are_those_that_are_shipped():
    assert model_names("tamrl-") == sorted(p.name for p in (ROOT / "models").iterdir())
    assert grid_names("") == sorted(path.stem for path in (ROOT / "grids").iterdir())
    assert grid_names("no such") == []
