"""Projects and departments: lists, quotas, what they use, and who is in them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BeforeValidator

from migctl.api.v1.organization.changing import change, change_resources, create
from migctl.api.v1.organization.members import members_of
from migctl.api.v1.organization.queues import QUEUES, department_out, project_out, queue_of
from migctl.api.v1.routes.paging import Filtered, Listed
from migctl.api.v1.routes.submission import CONFLICT, NOT_FOUND
from migctl.api.v1.schemas.organization import (
    DepartmentChange,
    DepartmentOut,
    DepartmentPage,
    DepartmentRequest,
    MemberList,
    ProjectChange,
    ProjectOut,
    ProjectPage,
    ProjectRequest,
    Resources,
)
from migctl.api.v1.schemas.support import SentBody
from migctl.api.v1.schemas.workloads import CountOut
from migctl.api.v1.service import Door
from migctl.objects import Department, Project

routes = APIRouter(prefix="/org-unit", tags=["organization"], responses={**NOT_FOUND, **CONFLICT})

SentResources = Annotated[
    Resources, BeforeValidator(SentBody.unwrapped), Body(description="Of those node pools that are named.")
]


@routes.get("/projects")
async def list_projects(door: Door, query: Listed) -> ProjectPage:
    """The projects that the caller may see, a page at a time."""
    shown, following = query.page(QUEUES, door.seen.all(Project))
    return ProjectPage(projects=[project_out(door, one) for one in shown], next=following)


@routes.get("/projects/count")
async def count_projects(door: Door, query: Filtered) -> CountOut:
    """How many projects the caller may see."""
    return CountOut(count=query.count(QUEUES, door.seen.all(Project)))


@routes.post("/projects", status_code=201)
async def create_project(door: Door, sent: ProjectRequest) -> ProjectOut:
    """Create a project; the same request sent again within minutes creates nothing more."""
    return project_out(door, await create(door, Project, sent))


@routes.get("/projects/{project_id}")
async def get_project(door: Door, project_id: str) -> ProjectOut:
    """A project, by its id or name."""
    return project_out(door, await queue_of(door, Project, project_id))


@routes.put("/projects/{project_id}")
async def replace_project(door: Door, project_id: str, sent: ProjectChange) -> ProjectOut:
    """Replace the quotas of a project; its department stays where none is named."""
    return project_out(door, await change(door, await queue_of(door, Project, project_id), sent, partly=False))


@routes.patch("/projects/{project_id}")
async def change_project(door: Door, project_id: str, sent: ProjectChange) -> ProjectOut:
    """Change what is named of a project."""
    return project_out(door, await change(door, await queue_of(door, Project, project_id), sent, partly=True))


@routes.put("/projects/{project_id}/resources")
async def replace_project_resources(door: Door, project_id: str, sent: SentResources) -> ProjectOut:
    """Replace the quotas of a project."""
    found = await queue_of(door, Project, project_id)
    return project_out(door, await change_resources(door, found, sent, partly=False))


@routes.patch("/projects/{project_id}/resources")
async def change_project_resources(door: Door, project_id: str, sent: SentResources) -> ProjectOut:
    """Change the quotas of a project in the node pools that are named."""
    found = await queue_of(door, Project, project_id)
    return project_out(door, await change_resources(door, found, sent, partly=True))


@routes.delete("/projects/{project_id}", status_code=204)
async def delete_project(door: Door, project_id: str) -> None:
    """Delete a project that has no workloads."""
    await door.control.delete(await queue_of(door, Project, project_id))


@routes.get("/projects/{project_id}/members")
async def list_project_members(door: Door, project_id: str) -> MemberList:
    """Who has a role in a project, for those who may give roles in it."""
    return MemberList(members=await members_of(door, await queue_of(door, Project, project_id)))


@routes.get("/departments")
async def list_departments(door: Door, query: Listed) -> DepartmentPage:
    """The departments that the caller may see, a page at a time."""
    shown, following = query.page(QUEUES, door.seen.all(Department))
    return DepartmentPage(departments=[department_out(door, one) for one in shown], next=following)


@routes.get("/departments/count")
async def count_departments(door: Door, query: Filtered) -> CountOut:
    """How many departments the caller may see."""
    return CountOut(count=query.count(QUEUES, door.seen.all(Department)))


@routes.post("/departments", status_code=201)
async def create_department(door: Door, sent: DepartmentRequest) -> DepartmentOut:
    """Create a department; the same request sent again within minutes creates nothing more."""
    return department_out(door, await create(door, Department, sent))


@routes.get("/departments/{department_id}")
async def get_department(door: Door, department_id: str) -> DepartmentOut:
    """A department, by its id or name."""
    return department_out(door, await queue_of(door, Department, department_id))


@routes.put("/departments/{department_id}")
async def replace_department(door: Door, department_id: str, sent: DepartmentChange) -> DepartmentOut:
    """Replace the quotas of a department."""
    found = await queue_of(door, Department, department_id)
    return department_out(door, await change(door, found, sent, partly=False))


@routes.patch("/departments/{department_id}")
async def change_department(door: Door, department_id: str, sent: DepartmentChange) -> DepartmentOut:
    """Change what is named of a department."""
    found = await queue_of(door, Department, department_id)
    return department_out(door, await change(door, found, sent, partly=True))


@routes.put("/departments/{department_id}/resources")
async def replace_department_resources(door: Door, department_id: str, sent: SentResources) -> DepartmentOut:
    """Replace the quotas of a department."""
    found = await queue_of(door, Department, department_id)
    return department_out(door, await change_resources(door, found, sent, partly=False))


@routes.patch("/departments/{department_id}/resources")
async def change_department_resources(door: Door, department_id: str, sent: SentResources) -> DepartmentOut:
    """Change the quotas of a department in the node pools that are named."""
    found = await queue_of(door, Department, department_id)
    return department_out(door, await change_resources(door, found, sent, partly=True))


@routes.delete("/departments/{department_id}", status_code=204)
async def delete_department(door: Door, department_id: str) -> None:
    """Delete a department that has no projects."""
    await door.control.delete(await queue_of(door, Department, department_id))


@routes.get("/departments/{department_id}/members")
async def list_department_members(door: Door, department_id: str) -> MemberList:
    """Who has a role in a department, for those who may give roles in it."""
    return MemberList(members=await members_of(door, await queue_of(door, Department, department_id)))
