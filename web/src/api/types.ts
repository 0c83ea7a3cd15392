// What are the things called that the manager speaks of? Names for the types of the OpenAPI document.

import type { components } from './schema.gen';

type Schemas = components['schemas'];

export type ApiKey = Schemas['ApiKeyState'];
export type Approval = Schemas['Approval'];
export type Asked = Schemas['Asked'];
export type Change = Schemas['Changed'];
export type Device = Schemas['DeviceState'];
export type Entry = Schemas['Entry'];
export type Facts = Schemas['Facts'];
export type Field = Schemas['Field'];
export type Finding = Schemas['Finding'];
export type Holds = Schemas['Holds'];
export type Job = Schemas['Job'];
export type JobDevice = Schemas['JobDevice'];
export type Lock = Schemas['Lock'];
export type LogField = Schemas['LogField'];
export type LogGroup = Schemas['LogGroup'];
export type LogGrouping = Schemas['LogGrouping'];
export type LogLine = Schemas['LogLine'];
export type MapPlace = Schemas['MapPlace'];
export type MapWay = Schemas['MapWay'];
export type ServiceMap = Schemas['ServiceMap'];
export type Node = Schemas['Node'];
export type Pending = Schemas['Pending'];
export type Present = Schemas['PresentAdministrator'];
export type PushPart = Schemas['Part2'];
export type Run = Schemas['Run2'];
export type RunDetail = Schemas['RunDetail'];
export type Version = Schemas['Version'];
export type Step = Schemas['Step'];
export type Incident = Schemas['Incident'];
export type Cluster = Schemas['ClusterState'];
export type Playbook = Schemas['PlaybookVersion'];
export type PlaybookTask = Schemas['PlaybookTask'];
export type Policy = Schemas['Policy'];
export type Tagged = Schemas['RegisteredAddress'];
export type Schedule = Schemas['Schedule'];
export type Value = Schemas['Value'];
