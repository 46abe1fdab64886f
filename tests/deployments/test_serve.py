"""What is served is what `prefect.yaml` declares, or nothing."""

import pytest
from pydantic import ValidationError

from deployments.serve import Declaration, declarations, deployment_of

DECLARED = {
    "name": "x",
    "entrypoint": "flows.prompt_service.answer_prompt",
    "description": "What it is for.",
    "tags": [],
}


async def test_a_deployment_is_found_by_its_module_path() -> None:
    for declared in declarations():
        deployment = await deployment_of(declared)
        assert deployment.entrypoint == declared.entrypoint
        assert {s.slug: s.active for s in deployment.schedules} == {
            s.slug: s.active for s in declared.schedules
        }


async def test_a_schedule_stays_as_a_person_has_put_it() -> None:
    schedules = [{"slug": "on", "cron": "0 6 * * *"}, {"slug": "new", "cron": "0 6 * * *"}]
    declared = Declaration.model_validate({**DECLARED, "schedules": schedules})
    deployment = await deployment_of(declared, {"on": False})
    assert {s.slug: s.active for s in deployment.schedules} == {"on": False, "new": True}


def test_an_entrypoint_that_does_not_import_stops_everything() -> None:
    broken = Declaration.model_validate({**DECLARED, "entrypoint": "flows.nowhere.answer"})
    with pytest.raises(ModuleNotFoundError, match=r"flows\.nowhere"):
        broken.load()


def test_a_field_that_nobody_reads_is_refused() -> None:
    with pytest.raises(ValidationError, match="schedule"):
        Declaration.model_validate({**DECLARED, "schedule": {"cron": "0 6 * * *"}})
