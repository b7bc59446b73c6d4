"""novacron completion: what a shell completes of it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter

from novacron_cli.command import Commands

_SHELLS = ("bash", "zsh", "tcsh")
_EXAMPLES = """\
examples:
  novacron completion bash > ~/.local/share/bash-completion/completions/novacron
  novacron completion bash | sudo tee /etc/bash_completion.d/novacron > /dev/null
  novacron completion zsh > ~/.zfunc/_novacron        with fpath+=~/.zfunc before compinit
  novacron completion tcsh >> ~/.cshrc

Commands, options and their choices are completed; make it anew after an upgrade."""


def add_to(commands: Commands, whole: ArgumentParser) -> None:
    """`whole` is the parser to complete: all of it, once it is made."""
    summary = "print a script that completes `novacron` in a shell"
    parser = commands.add_parser(
        "completion",
        help=summary,
        description=f"{summary.capitalize()}.",
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=_SHELLS)
    parser.set_defaults(run=lambda args: _run(args, whole))


def _run(args: Namespace, whole: ArgumentParser) -> int:
    import shtab  # for this one alone

    print(shtab.complete(whole, shell=args.shell))
    return 0
