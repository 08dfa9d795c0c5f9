#pragma once

void vmm_forget(void);
