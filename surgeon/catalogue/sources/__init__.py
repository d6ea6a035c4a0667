"""Where labelled images come from: folders, tables, and two data sets that everybody can get."""

from __future__ import annotations

from surgeon.catalogue.entry import table
from surgeon.catalogue.sources import csv_file, digits, flowers17, folder, patterned

SOURCES = table(folder.SPEC, patterned.SPEC, csv_file.SPEC, flowers17.SPEC, digits.SPEC, group="surgeon.sources")
