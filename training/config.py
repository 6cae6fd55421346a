"""The base of all configuration: frozen, keyword-only, validated, no unknown fields."""

from __future__ import annotations

from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from training.errors import explain, unknown


class Config(BaseModel):
    """Frozen typed data; every field says what it is and in which unit."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    @classmethod
    def parse(cls, data: Any, where: str = "") -> Self:
        """Validate `data`; raise `UserError` that names the field and what is allowed."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise explain(error, where) from None

    @model_validator(mode="before")
    @classmethod
    def _known(cls, data: Any) -> Any:
        """Refuse a field that there is not, and tell which there are."""
        if isinstance(data, dict):
            for name in data:
                if name not in cls.model_fields:
                    raise unknown("field", str(name), cls.model_fields)
        return data

    @model_serializer(mode="wrap")
    def _keep_kind(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write the name of the kind even where defaults are left out: it tells how to read."""
        kind = getattr(self, "kind", None)
        data: dict[str, Any] = handler(self)
        return data if kind is None else {"kind": kind, **data}
