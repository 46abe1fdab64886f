"""Capabilities, one module each: plain functions for the logic, thin Prefect tasks around them."""
