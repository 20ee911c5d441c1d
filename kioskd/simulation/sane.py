"""SANE's `test` backend in a configuration folder of its own."""

from __future__ import annotations

from pathlib import Path


def write_sane_config(folder: Path, *options: str) -> Path:
    """Write the configuration into `folder` (SANE_CONFIG_DIR) and return it.

    `options` are further lines of test.conf, such as "read_limit true".
    The `test` backend's flatbed is 200 mm wide at first, too narrow for A4.
    """
    (folder / "dll.conf").write_text("test\n")
    (folder / "test.conf").write_text(
        "number_of_devices 1\ngeometry_max 300.0\ntl_x 0.0\ntl_y 0.0\nbr_x 210.0\nbr_y 297.0\n"
        "resolution 300.0\nmode Color\ndepth 8\n" + "".join(f"{line}\n" for line in options)
    )
    return folder
