"""One run of componentize-py, in a process of its own."""

from __future__ import annotations

import sys


def main() -> None:
    # The folder of this file has modules of the SDK in it.
    sys.path.pop(0)
    from componentize_py import componentize  # type: ignore[import-not-found,import-untyped,unused-ignore]

    wit, app, name, output = sys.argv[1:]
    componentize(
        wit_path=[wit],
        worlds=["participant"],
        features=[],
        all_features=False,
        world_module=None,
        python_path=[app],
        module_worlds=[],
        app_name=name,
        output_path=output,
        stub_wasi=False,
        import_interface_names=[],
        export_interface_names=[],
        full_names=False,
        intersect_world=None,
    )


if __name__ == "__main__":
    main()
