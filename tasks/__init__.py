"""Capabilities, one module each: plain functions for the logic, thin Prefect tasks around them."""

from infra.prefect_defaults import set_defaults

set_defaults()
