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

__all__ = [
    "add_element",
    "add_polygon",
    "finish_descriptor",
    "root_element",
    "time_text",
    "write_mosaic_descriptor",
    "write_tile_descriptor",
]

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
    root = root_element("DpdMerBksMosaic", "mer/bksmosaic", f"{grid.tile.id} {band.name} {sky.seed}")
    data = add_element(root, "Data")
    add_element(add_element(data, "Instrument"), "InstrumentName", band.instrument)
    add_element(add_element(data, "Filter"), "Name", band.name)
    wcs = add_element(data, "WCS")
    for key, value in _wcs(grid):
        add_element(wcs, key, value)
    add_element(add_element(data, "ZeroPoint"), "Value", band.zero_point_mag)
    lon, lat = grid.plane.angles(*grid.corners().T)
    add_polygon(add_element(data, "ImgSpatialFootprint"), zip(lon, lat, strict=True))
    add_element(data, "TileIndex", int(grid.tile.id))
    exposures = _exposures(sky, grid, band)
    observations = add_element(data, "ObservationIdList")
    for number in sorted({one // 4 for one in exposures}):
        add_element(observations, "ObservationId", number)
    add_element(data, "ProcessingMode", "WIDE")
    for key, value in _times(sky, band, exposures):
        add_element(data, key, value)
    for kind, (element, form) in STORAGES.items():
        if kind in names:
            storage = add_element(data, element, format=form, version="0.1")
            add_element(add_element(storage, "DataContainer", filestatus="PROPOSED"), "FileName", names[kind])
    statistics = add_element(data, "QualityParams")
    for key, level in quality.items():
        add_element(statistics, key, level)
    finish_descriptor(root, path)


def write_tile_descriptor(path: Path, sky: Sky, grid: Grid, order: int, inner: CellSet) -> None:
    """Descriptor of a tile: its outer and inner area as NUNIQ cells and as outlines."""
    root = root_element("DpdMerTile", "mer/tile", f"{grid.tile.id} {sky.seed}")
    data = add_element(root, "Data")
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
        add_element(data, key, value)
    add_polygon(add_element(data, "OuterSpatialFootprint"), zip(lon, lat, strict=True))
    add_polygon(add_element(data, "InnerSpatialFootprint"), _core_corners(grid))
    add_element(data, "ExtendedObjects", "")
    finish_descriptor(root, path)


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
        yield "ReferenceObservationDateTime", time_text(first + (last - first) / 2)
        yield "FirstObservationDateTime", time_text(first)
        yield "LastObservationDateTime", time_text(last)


# -- building -----------------------------------------------------------------------------------------------


def root_element(
    product: str,
    schema: str,
    identity: str,
    *,
    software: tuple[str, str] = ("MER_ProcessTile", "11.0.1"),
    pipeline: str = PIPELINE,
) -> Element:
    """Root element with the generic header; `software` is name and release."""
    root = ElementTree.Element(f"{{http://euclid.esa.org/schema/dpd/{schema}}}{product}")
    header = add_element(root, "Header")
    for key, value in (
        ("ProductId", str(uuid.uuid5(uuid.NAMESPACE_URL, f"vmpz simulate {product} {identity}"))),
        ("ProductType", product),
        ("SoftwareName", software[0]),
        ("SoftwareRelease", software[1]),
        ("ProdSDC", "SDC-FR"),
        ("DataSetRelease", DATASET_RELEASE),
        ("Purpose", "TEST"),
        ("PlanId", f"Plan-{DATASET_RELEASE}"),
        ("PPOId", f"Plan-{DATASET_RELEASE}_{pipeline}-{hexadecimal('order', identity)}"),
        ("PipelineDefinitionId", pipeline),
        ("PpoStatus", "COMPLETED"),
        ("ManualValidationStatus", "UNKNOWN"),
        ("ExpirationDate", time_text(START + timedelta(days=3650))),
        ("ToBePublished", 0),
        ("Published", 0),
        ("Curator", "vmpz simulate"),
        ("CreationDate", time_text(START)),
    ):
        add_element(header, key, value)
    return root


def add_element(parent: Element, name: str, value: object = None, **attributes: str) -> Element:
    """A child with a text: the shortest that reads back as the same number, or the value as it prints."""
    child = ElementTree.SubElement(parent, name, attributes)
    child.text = None if value is None else repr(value) if isinstance(value, float) else str(value)
    return child


def add_polygon(parent: Element, corners: Iterable[tuple[float, float]]) -> None:
    """A polygon with its corners, degrees."""
    polygon = add_element(parent, "Polygon")
    for lon, lat in corners:
        vertex = add_element(polygon, "Vertex")
        add_element(vertex, "C1", float(lon))
        add_element(vertex, "C2", float(lat))


def time_text(time: datetime) -> str:
    """A time to the millisecond, as descriptors write it."""
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"


def finish_descriptor(root: Element, path: Path) -> None:
    """Close a descriptor and write it."""
    add_element(add_element(root, "QualityFlags"), "GlobalQualityFlag", "OK")
    add_element(root, "Parameters")
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode", xml_declaration=False)
    write_text(path, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n')
