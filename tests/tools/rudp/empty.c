/* A library to be loaded, or not to be found. */
int rudp_target_loaded(void);

int rudp_target_loaded(void)
{
    return 1;
}
