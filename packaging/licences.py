#!/usr/bin/env python3
"""Prints the licences of the packages that are linked into the program: their names, then each text once.

usage: packaging/licences.py TARGET
"""

import json
import pathlib
import subprocess
import sys

TEXTS = ("LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE")


def linked(target):
    """Returns the packages that end up in the program, as cargo's metadata has them; build scripts do not."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, left = set(), [metadata["resolve"]["root"]]
    while left:
        for dependency in nodes[left.pop()]["deps"]:
            is_linked = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if is_linked and dependency["pkg"] not in found:
                found.add(dependency["pkg"])
                left.append(dependency["pkg"])
    others = [packages[identity] for identity in found if packages[identity]["source"]]
    return sorted(others, key=lambda package: (package["name"], package["version"]))


def texts(package):
    """Returns the texts of a package's licences, one after the other in the order of their files."""
    folder = pathlib.Path(package["manifest_path"]).parent
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name.upper().startswith(TEXTS))
    return [path.read_text(encoding="utf-8", errors="replace").strip() for path in files if path.suffix != ".rs"]


def main():
    packages = linked(sys.argv[1])
    users = {}
    print("The program contains the standard library of Rust (MIT OR Apache-2.0), musl (MIT), and these packages:\n")
    for package in packages:
        print(f"{package['name']} {package['version']}: {package['license'] or 'see its text'}")
        for text in texts(package):
            users.setdefault(text, []).append(package["name"])
    for text, names in users.items():
        print(f"\n{'=' * 80}\nOf {', '.join(dict.fromkeys(names))}:\n\n{text}")


main()
