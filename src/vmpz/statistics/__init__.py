"""Statistics: what is said of the values in a cell, and the small arrays left after the one pass over the pixels.

**Statistics of samples.** A sample is a value x with the fraction a of the cell that it covers and a weight w
(inverse variance); an exposure gives one sample to every cell it touches.

================  ==============================================================================================
COUNT, SUM        ``sum a``; ``sum a x``: integrals over the cell divided by the cell's area
MEAN, WMEAN       ``sum a x / sum a``; ``sum a w x / sum a w``
MIN, MAX, MODE    extremes; most frequent value, the lowest on ties
MEDIAN, QNN       of the list of values; quantile of NN per cent, linear between values
WMEDIAN           half of ``sum a w`` on either side; between two values where the half falls exactly between them
STD, RMSQ         ``sqrt(sum a (x - mean)**2 / sum a)``; ``sqrt(sum a x**2 / sum a)``
VALUE             the single value; an error where samples differ
ARGMIN, ARGMAX    number of the sample (exposure, stamp) that gives the extreme, the lowest on ties; pixels and points
                  have no numbers
================  ==============================================================================================

Samples with ``a <= A_MIN`` do not touch the cell. Samples are put into one order before anything is added, so
the result does not depend, to the last bit, on the order or the portions in which they came. Over image
pixels, all of the same share of the cell and of weight 1/RMS^2, the same statistics follow from the moments below
(`Statistic.of_moments`), all but ARGMIN and ARGMAX.

**Cell statistics.** Columns, one float64 or int64 value per cell of the area:

=====================  =============================================================================================
``geom``               exact fraction of the cell inside the image outline; where no outline is known, expected
                       share from the local pixel area
``found``              pixels whose centre lies in the cell
``valid``              of these, pixels with a valid RMS (finite, > 0, < 1e15)
``usable``             valid and RMS <= ``rms_max``
``bit.NN``             pixels with flag bit NN set (32 = inside a star mask)
``flagged.<S>``        pixels hit by any bit of selection S (`Selection.text`)
``good.<S>``           usable pixels not hit by S
``subcells``           on request: one 64-bit word, bit k set where more than half of the pixels of the k-th
                       sub-cell (nested, three orders deeper) are good for the coverage
``<P>.<sample>.<m>``   moments of plane P (RMS, BACKGROUND, IMAGE) over a sample: ``valid`` or ``good`` (usable and
                       not hit by the depth selection); m is ``n``, ``mean``, ``m2`` (sum of squared deviations from
                       the mean), ``min``, ``max``; on request ``median``, ``qNN``, ``mode``, and, weighted by
                       1/RMS^2, ``wsum``, ``wmean``, ``wmedian``
=====================  =============================================================================================

A fraction of the cell is ``geom * count / found``: exact inside, right at edges, free of lattice noise. Statistics of
single exposures hold areas instead of counts, see `vmpz.make.exposures`.
"""

from vmpz.statistics.cells import CellStatistics, Moments
from vmpz.statistics.samples import A_MIN, Samples, SortedSamples
from vmpz.statistics.table import STATISTICS, Statistic, statistic

__all__ = [
    "A_MIN",
    "STATISTICS",
    "CellStatistics",
    "Moments",
    "Samples",
    "SortedSamples",
    "Statistic",
    "statistic",
]
