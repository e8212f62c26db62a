"""Leaves a small archive that unpacks into a quarter of a gigabyte; nobody should unpack it."""

import zipfile

with (
    zipfile.ZipFile("/outputs/bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive,
    archive.open("zeros", "w", force_zip64=True) as member,
):
    for _ in range(256):
        member.write(b"\0" * (1 << 20))
