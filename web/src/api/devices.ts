// Which firewalls are there, and how are they?

import { useQuery } from '@tanstack/react-query';
import { api, told } from './client';

export function useDevices() {
  return useQuery({
    queryKey: ['devices'],
    queryFn: () => told(api.GET('/api/v1/devices')),
    refetchInterval: 10_000,
  });
}
