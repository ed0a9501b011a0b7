"""Faults 24-28: descriptors and the file names in them."""

import os
import re
from pathlib import Path

import pytest

import readers_helpers as write
from readers_scan import refusal, scan, the_frame
from vmpz.errors import InputError
from vmpz.files.xml import confined, parse_xml
from vmpz.readers import open_frame

BOMB = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><x>&c;</x>"""
QUADRATIC = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "{"a" * 50_000}">]><x>{"&a;" * 50_000}</x>'
XXE = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><x>&a;</x>'
EXTERNAL = '<?xml version="1.0"?><!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><x/>'


@pytest.mark.parametrize("text", [BOMB, QUADRATIC, XXE, EXTERNAL, "<!DOCTYPE x><x/>"])
def test_fault_24_doctype(tmp_path: Path, text: str) -> None:
    write.write_band(tmp_path, kinds=["RMS"])
    path = tmp_path / f"DpdMerBksMosaic_TILE{write.TILE}.xml"
    path.write_text(text)
    assert re.search(r"TILE\d+\.xml: DOCTYPE not allowed", refusal(tmp_path))
    path.write_bytes(text.encode("utf-16"))
    assert "must be UTF-8" in refusal(tmp_path)
    path.write_bytes(b'<?xml version="1.0" encoding="UTF-7"?>' + text.partition("?>")[2].encode("utf-7"))
    with pytest.raises(InputError):
        parse_xml(str(path))


def test_fault_25_deep_or_large_xml(tmp_path: Path) -> None:
    path = tmp_path / "deep.xml"
    path.write_text("<x>" * 200_000 + "</x>" * 200_000)
    with pytest.raises(InputError, match="must be well-formed"):
        parse_xml(str(path))
    with path.open("wb") as handle:
        handle.truncate(500_000_000)
    with pytest.raises(InputError, match="must be at most"):
        parse_xml(str(path))


def test_fault_26_file_names_stay_inside(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "secret.fits").write_bytes(b"x")
    (folder / "link.fits").symlink_to(tmp_path / "secret.fits")
    (folder / "out").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.fits")
    names = [
        "../secret.fits",
        str(tmp_path / "secret.fits"),
        "a\0b.fits",
        "link.fits",
        "out/secret.fits",
        "pipe.fits",
    ]
    for name in [
        *names,
        "",
        ".",
        "/dev/zero",
        "x" * 5000,
        "data/../../secret.fits",
        "..\\secret.fits",
        "none.fits",
    ]:
        with pytest.raises(InputError, match="FileName must"):
            confined(folder, name, "a.xml")
    (folder / "data").mkdir()
    (folder / "data" / "good.fits").write_bytes(b"x")
    (folder / "inner.fits").symlink_to(folder / "data" / "good.fits")
    assert confined(folder, "good.fits", "a.xml") == folder / "data" / "good.fits"
    assert confined(folder, "inner.fits", "a.xml") == folder / "inner.fits"


def test_fault_26_special_files_do_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / write.name_of("RMS"))
    assert "must be a regular file" in refusal(tmp_path)


def test_fault_27_descriptor_with_missing_or_wrong_files(tmp_path: Path) -> None:
    paths = write.write_band(tmp_path)
    names = {kind: path.name for kind, path in paths.items()}
    xml = tmp_path / "mosaic.xml"
    xml.write_text(write.mosaic_xml({**names, "FLAG": "EUC_MER_none.fits"}))
    assert re.search(r"mosaic.xml: FileName must exist, found no 'EUC_MER_none.fits'", refusal(tmp_path))
    other = write.write_band(tmp_path, tile="102018211", kinds=["FLAG"])["FLAG"]
    xml.write_text(write.mosaic_xml({**names, "FLAG": other.name}))
    assert "FLAG must be a file of tile 102018210" in refusal(tmp_path, tiles=[write.TILE])
    other.unlink()
    xml.write_text(write.mosaic_xml(names, md5={"RMS": "0" * 32}))
    with pytest.raises(InputError, match="MD5 must be"):
        open_frame(the_frame(tmp_path, verify_md5=True), ["RMS"])
    xml.write_text(write.mosaic_xml(names, zero_point=float("nan")))
    assert "ZeroPoint/Value must be a finite number" in refusal(tmp_path)


def test_fault_28_descriptor_of_another_product(tmp_path: Path) -> None:
    paths = write.write_band(tmp_path)
    xml = tmp_path / "catalog.xml"
    xml.write_text(write.mosaic_xml({}, product="DpdMerFinalCatalog"))
    frame = the_frame(tmp_path)
    assert "XML" not in frame.tables
    with pytest.raises(InputError, match="must describe a MER mosaic, found DpdMerFinalCatalog"):
        scan(xml)
    names = {kind: path.name for kind, path in paths.items()}
    xml.write_text(write.mosaic_xml(names, product="DpdMerMosaic"))
    assert "XML" in the_frame(tmp_path).tables
    assert the_frame(xml).planes == the_frame(tmp_path).planes
