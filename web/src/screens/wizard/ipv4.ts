// Is that an IPv4 network, and which is its first address that a host can have?

const OCTET = '(?:25[0-5]|2[0-4]\\d|1?\\d?\\d)';
const ADDRESS = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`);

export const isAddress = (text: string): boolean => ADDRESS.test(text);

/** Address and length of `10.0.1.0/24`; nothing for what is no network. */
function network(text: string): { address: number; length: number } | undefined {
  const [address = '', length = '', rest] = text.split('/');
  if (rest !== undefined || !isAddress(address) || !/^\d{1,2}$/.test(length) || Number(length) > 32) return undefined;
  return { address: address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0), length: Number(length) };
}

export const isNetwork = (text: string): boolean => network(text) !== undefined;

/** The gateway of a subnet in every one of the clouds: `10.0.1.1` of `10.0.1.0/24`. Empty for what is no network. */
export function firstUsable(text: string): string {
  const subnet = network(text);
  if (!subnet) return '';
  const size = 2 ** (32 - subnet.length);
  const first = Math.floor(subnet.address / size) * size + (subnet.length < 31 ? 1 : 0);
  return [24, 16, 8, 0].map((shift) => Math.floor(first / 2 ** shift) % 256).join('.');
}
