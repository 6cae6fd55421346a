"""What all tests share: one torch thread, and hypothesis without deadlines or a database."""

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("thaw", deadline=None, database=None, print_blob=True)
settings.load_profile("thaw")
