"""Datasets: files that people sent, kept by their content.

catalogue   Datasets: find, list, publish, delete, sweep
folders     bytes at rest: a folder for each dataset, and for each upload under way
intake      Intake, Upload: from the first byte of an upload to the published dataset
reader      the process that reads an uploaded file; polars lives there only
"""
