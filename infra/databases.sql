-- Run once by the image of PostgreSQL, beside the database `patterns` that it makes itself.
create database prefect;
