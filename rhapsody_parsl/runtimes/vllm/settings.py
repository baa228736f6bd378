"""What the pilot's half tells the process of one replica of a model."""

from rhapsody_parsl.service_config import VLLMService
from rhapsody_parsl.services.settings import Settings

__all__ = ("EngineSettings",)


class EngineSettings(Settings, frozen=True, kw_only=True):
    """One start of one replica; its secret is the API key, without which the HTTP API answers nothing but its health.

    Attributes:
        service: The user's service.
        model: The model, a folder's name made absolute.
    """

    service: VLLMService
    model: str
