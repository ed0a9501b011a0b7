"""XML descriptors: DpdMerBksMosaic of a tile and band, DpdMerTile of a tile."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from vmpz.files.write import write_text
from vmpz.simulate.bands import Band, instrument_of
from vmpz.simulate.field import Sky
from vmpz.simulate.headers import DATASET_RELEASE, PIPELINE, START, hexadecimal
from vmpz.simulate.pixels import Grid
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Polygon, cells_touched

__all__ = ["write_mosaic_descriptor", "write_tile_descriptor"]

Element = ElementTree.Element

STORAGES = {
    "image": ("DataStorage", "mer.bksMosaic"),
    "rms": ("RmsStorage", "mer.mosaicRms"),
    "flag": ("FlagStorage", "mer.mosaicFlag"),
    "catalog-psf": ("PsfModelStorage", "mer.catalogPsf"),
    "background": ("BackgroundStorage", "mer.backgroundModel"),
    "layers": ("LayersStorage", "mer.layers"),
    "star-masks": ("BrightStarMasksStorage", "mer.brightStarMasks"),
}
"""Kind of file to its storage element and format."""

MJD_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)
PARALLEL_EDGES = 16


def write_mosaic_descriptor(
    path: Path, sky: Sky, grid: Grid, band: Band, names: Mapping[str, str], quality: Mapping[str, float]
) -> None:
    """Descriptor of one band of a tile.

    Parameters
    ----------
    path : Path
    sky, grid, band
    names : mapping
        Kind of file to file name; those with a row in `STORAGES` are listed.
    quality : mapping
        Children of QualityParams.
    """
    root = _root("DpdMerBksMosaic", "mer/bksmosaic", f"{grid.tile.id} {band.name} {sky.seed}")
    data = _add(root, "Data")
    _add(_add(data, "Instrument"), "InstrumentName", band.instrument)
    _add(_add(data, "Filter"), "Name", band.name)
    wcs = _add(data, "WCS")
    for key, value in _wcs(grid):
        _add(wcs, key, value)
    _add(_add(data, "ZeroPoint"), "Value", band.zero_point_mag)
    lon, lat = grid.plane.angles(*grid.corners().T)
    _polygon(_add(data, "ImgSpatialFootprint"), zip(lon, lat, strict=True))
    _add(data, "TileIndex", int(grid.tile.id))
    exposures = _exposures(sky, grid, band)
    observations = _add(data, "ObservationIdList")
    for number in sorted({one // 4 for one in exposures}):
        _add(observations, "ObservationId", number)
    _add(data, "ProcessingMode", "WIDE")
    for key, value in _times(sky, band, exposures):
        _add(data, key, value)
    for kind, (element, form) in STORAGES.items():
        if kind in names:
            storage = _add(data, element, format=form, version="0.1")
            _add(_add(storage, "DataContainer", filestatus="PROPOSED"), "FileName", names[kind])
    statistics = _add(data, "QualityParams")
    for key, level in quality.items():
        _add(statistics, key, level)
    _finish(root, path)


def write_tile_descriptor(path: Path, sky: Sky, grid: Grid, order: int, inner: CellSet) -> None:
    """Descriptor of a tile: its outer and inner area as NUNIQ cells and as outlines."""
    root = _root("DpdMerTile", "mer/tile", f"{grid.tile.id} {sky.seed}")
    data = _add(root, "Data")
    lon, lat = grid.plane.angles(*grid.corners().T)
    outer = cells_touched(Polygon(np.stack((lon, lat), axis=1)), order)
    for key, value in (
        ("TileUseCase", "WIDE"),
        ("TileFlavour", "NORMAL"),
        ("TileIndex", int(grid.tile.id)),
        ("Version", "1.0"),
        ("OuterNUNIQIndex", _nuniq(outer)),
        ("InnerNUNIQIndex", _nuniq(inner)),
    ):
        _add(data, key, value)
    _polygon(_add(data, "OuterSpatialFootprint"), zip(lon, lat, strict=True))
    _polygon(_add(data, "InnerSpatialFootprint"), _core_corners(grid))
    _add(data, "ExtendedObjects", "")
    _finish(root, path)


def _nuniq(cells: CellSet) -> str:
    return " ".join(str(number) for number in np.sort(cells.to_moc().uniq_hpx))


def _core_corners(grid: Grid) -> Iterable[tuple[float, float]]:
    """Corners of the core, its parallels followed by 16 edges each, at a pole the pole itself."""
    tile = grid.tile
    south, north = max(tile.south_deg, -90.0), min(tile.north_deg, 90.0)
    east = np.linspace(tile.west_deg, tile.east_deg, PARALLEL_EDGES + 1)
    for lon, lat in ((east, south), (east[::-1], north)):
        yield from ((float(one) % 360.0, lat) for one in (lon if abs(lat) < 90.0 else lon[:1]))


def _wcs(grid: Grid) -> Sequence[tuple[str, object]]:
    return (
        ("CTYPE1", "RA---TAN"),
        ("CTYPE2", "DEC--TAN"),
        ("CRVAL1", grid.crval[0]),
        ("CRVAL2", grid.crval[1]),
        ("CRPIX1", grid.crpix),
        ("CRPIX2", grid.crpix),
        ("CD1_1", -grid.cd_deg),
        ("CD1_2", 0.0),
        ("CD2_1", 0.0),
        ("CD2_2", grid.cd_deg),
    )


def _exposures(sky: Sky, grid: Grid, band: Band) -> list[int]:
    """Numbers of the exposures that touch the image."""
    detectors = sky.detectors(instrument_of(band).name)
    touching = grid.quads_touching(detectors.rectangles.quads(sky.plane))
    return [int(number) for number in np.unique(detectors.exposure[touching])]


def _times(sky: Sky, band: Band, exposures: Sequence[int]) -> Iterable[tuple[str, str]]:
    """First, last and reference time of observation; none where nothing was observed."""
    if exposures:
        days = [sky.scalars(number)["MJD-OBS"] for number in exposures]
        first = MJD_EPOCH + timedelta(days=min(days))
        last = MJD_EPOCH + timedelta(days=max(days), seconds=band.exposure_time_s)
        yield "ReferenceObservationDateTime", _text(first + (last - first) / 2)
        yield "FirstObservationDateTime", _text(first)
        yield "LastObservationDateTime", _text(last)


# -- building -----------------------------------------------------------------------------------------------


def _root(product: str, schema: str, identity: str) -> Element:
    """Root element with the generic header."""
    root = ElementTree.Element(f"{{http://euclid.esa.org/schema/dpd/{schema}}}{product}")
    header = _add(root, "Header")
    for key, value in (
        ("ProductId", str(uuid.uuid5(uuid.NAMESPACE_URL, f"vmpz simulate {product} {identity}"))),
        ("ProductType", product),
        ("SoftwareName", "MER_ProcessTile"),
        ("SoftwareRelease", "11.0.1"),
        ("ProdSDC", "SDC-FR"),
        ("DataSetRelease", DATASET_RELEASE),
        ("Purpose", "TEST"),
        ("PlanId", f"Plan-{DATASET_RELEASE}"),
        ("PPOId", f"Plan-{DATASET_RELEASE}_{PIPELINE}-{hexadecimal('order', identity)}"),
        ("PipelineDefinitionId", PIPELINE),
        ("PpoStatus", "COMPLETED"),
        ("ManualValidationStatus", "UNKNOWN"),
        ("ExpirationDate", _text(START + timedelta(days=3650))),
        ("ToBePublished", 0),
        ("Published", 0),
        ("Curator", "vmpz simulate"),
        ("CreationDate", _text(START)),
    ):
        _add(header, key, value)
    return root


def _add(parent: Element, name: str, value: object = None, **attributes: str) -> Element:
    child = ElementTree.SubElement(parent, name, attributes)
    child.text = None if value is None else repr(value) if isinstance(value, float) else str(value)
    return child


def _polygon(parent: Element, corners: Iterable[tuple[float, float]]) -> None:
    polygon = _add(parent, "Polygon")
    for lon, lat in corners:
        vertex = _add(polygon, "Vertex")
        _add(vertex, "C1", float(lon))
        _add(vertex, "C2", float(lat))


def _text(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"


def _finish(root: Element, path: Path) -> None:
    _add(_add(root, "QualityFlags"), "GlobalQualityFlag", "OK")
    _add(root, "Parameters")
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode", xml_declaration=False)
    write_text(path, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n')
