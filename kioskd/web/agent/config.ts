// What the operator tells the page: config.json beside it.

export interface Service {
  id: string;
  name: string;
  colour: string;
}

export interface Config {
  broker: string;
  username: string | null;
  password: string | null;
  services: Service[];
  ice_servers: RTCIceServer[];
}

/** Reads config.json. Rejects when it is not there or is not JSON. */
export async function readConfig(): Promise<Config> {
  const response = await fetch("config.json");
  if (!response.ok) throw new Error(`config.json: ${response.status}`);
  return (await response.json()) as Config;
}
